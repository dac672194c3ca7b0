//! The applications of the made-up company, with the contexts that their SDKs send.

/// An application of the made-up company, with its write key.
#[derive(Debug, PartialEq, Eq)]
pub struct App {
    /// Its name in the gateway's configuration.
    pub name: &'static str,
    /// Its write key.
    pub key: &'static str,
    /// Whether the key is of the kind that servers hold.
    pub secret: bool,
    pub(super) sdk: &'static str,
    pub(super) context: &'static str,
}

/// All of them.
pub const APPS: [App; 4] = [
    App {
        name: "shop",
        key: "wk_shop",
        secret: false,
        sdk: "js/1.2.0",
        context: concat!(
            r#"{"version":"5.18.2","os":"Windows 11","browser":"Chrome 131","locale":"de-DE","#,
            r#""screen":"1920x1080","consent":["analytics"]}"#
        ),
    },
    App {
        name: "video",
        key: "wk_video",
        secret: false,
        sdk: "android/1.2.0",
        context: concat!(
            r#"{"version":"11.4.0","build":110400,"os":"Android 14","device":"SM-S918B","#,
            r#""locale":"zh-CN","network":"5g","carrier":"中国移动"}"#
        ),
    },
    App {
        name: "news",
        key: "wk_news",
        secret: false,
        sdk: "swift/1.2.0",
        context: concat!(
            r#"{"version":"3.0.7","os":"iOS 18.1","device":"iPhone16,2","locale":"fr-FR","#,
            r#""network":"wifi","tests":{"feed":"b","font":"a"}}"#
        ),
    },
    App {
        name: "backend",
        key: "sk_backend",
        secret: true,
        sdk: "go/1.2.0",
        context: concat!(
            r#"{"service":"checkout","version":"2026.11.3","host":"checkout-7d9f","#,
            r#""zone":"eu-central-1b"}"#
        ),
    },
];
