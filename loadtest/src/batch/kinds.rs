//! The twenty event types of a typical product, by falling frequency, with their properties.
//!
//! The mix is Zipf's: the type of rank n comes 1/n as often as the first. Lanes are what the load
//! run's route table says; types without one go to `other`, `debug.*` is filtered.

use std::fmt::Write;
use std::sync::LazyLock;

use super::Random;

/// One event type.
#[derive(Debug)]
pub struct Kind {
    /// The `type` of its events.
    pub name: &'static str,
    /// The lane to which the route table sends it.
    pub lane: Option<&'static str>,
    /// Writes the members of its `props`.
    pub(super) props: fn(&mut String, &mut Random),
}

impl Kind {
    /// Whether the rule `no-debug` takes it out.
    pub fn filtered(&self) -> bool {
        self.name.starts_with("debug.")
    }
}

/// All types, most frequent first.
pub const KINDS: [Kind; 20] = [
    Kind { name: "impression", lane: Some("feed"), props: impression },
    Kind { name: "scroll", lane: Some("scroll"), props: scroll },
    Kind { name: "page.view", lane: Some("page"), props: page },
    Kind { name: "click", lane: Some("page"), props: click },
    Kind { name: "video.progress", lane: Some("video"), props: video },
    Kind { name: "network.request", lane: Some("perf"), props: network },
    Kind { name: "perf.timing", lane: Some("perf"), props: timing },
    Kind { name: "search.query", lane: Some("search"), props: search },
    Kind { name: "video.start", lane: Some("video"), props: video },
    Kind { name: "page.leave", lane: Some("page"), props: page },
    Kind { name: "search.result", lane: Some("search"), props: search },
    Kind { name: "error", lane: Some("error"), props: error },
    Kind { name: "cart.add", lane: Some("shop"), props: cart },
    Kind { name: "video.end", lane: Some("video"), props: video },
    Kind { name: "app.start", lane: Some("app"), props: app },
    Kind { name: "debug.trace", lane: None, props: network },
    Kind { name: "app.background", lane: Some("app"), props: app },
    Kind { name: "order.submit", lane: Some("shop"), props: cart },
    Kind { name: "push.open", lane: None, props: click },
    Kind { name: "experiment.exposure", lane: None, props: experiment },
];

/// The type for a random number.
pub(super) fn pick(draw: u64) -> &'static Kind {
    static ALL: [Kind; 20] = KINDS;
    let draw = draw >> 32;
    let rank = BOUNDS.partition_point(|bound| *bound <= draw);
    ALL.get(rank).unwrap_or(&ALL[0])
}

/// Upper bounds of the 32-bit draws that fall to each rank, in whole numbers so that every machine
/// agrees.
static BOUNDS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let shares: Vec<u64> = (1..=KINDS.len() as u64).map(|rank| (1 << 40) / rank).collect();
    let total: u64 = shares.iter().sum();
    let running = shares.iter().scan(0, |sum, share| {
        *sum += share;
        Some((u128::from(*sum) << 32) / u128::from(total))
    });
    running.map(|bound| u64::try_from(bound).unwrap_or(u64::MAX)).collect()
});

macro_rules! put {
    ($text:expr, $($arguments:tt)*) => {
        write!($text, $($arguments)*).expect("writing to a string cannot fail")
    };
}

fn impression(text: &mut String, random: &mut Random) {
    let (item, slot) = (random.below(1 << 28), random.below(40));
    put!(text, r#""item":"i{item:07x}","slot":{slot},"feed":"{}","#, random.choose(FEEDS));
    put!(text, r#""score":0.{:05},"visible_ms":{},"#, random.below(100_000), random.below(9000));
    put!(text, r#""author":{},"format":"{}","#, random.below(10_000_000), random.choose(FORMATS));
    put!(text, r#""request":"{:012x}","cached":{}"#, random.draw() >> 16, random.choose(BOOLS));
}

fn scroll(text: &mut String, random: &mut Random) {
    put!(text, r#""path":"{}","depth":0.{:02},"#, random.choose(PATHS), random.below(100));
    put!(text, r#""from":{},"to":{},"#, random.below(4000), random.below(12_000));
    put!(text, r#""velocity":{}.{},"#, random.below(30), random.below(10));
    put!(text, r#""viewport":{{"width":{},"height":{}}},"#, random.choose(WIDTHS), 844);
    put!(text, r#""direction":"{}","dwell_ms":{}"#, random.choose(WAYS), random.below(20_000));
}

fn page(text: &mut String, random: &mut Random) {
    put!(text, r#""path":"{}/{}","#, random.choose(PATHS), random.below(100_000));
    put!(text, r#""title":"{}","referrer":"{}","#, random.choose(TITLES), random.choose(REFERRERS));
    put!(text, r#""query":{{"tab":"{}","page":{}}},"#, random.choose(FEEDS), random.below(9));
    put!(text, r#""load_ms":{},"bounce":{}"#, random.below(6000), random.choose(BOOLS));
}

fn click(text: &mut String, random: &mut Random) {
    put!(text, r#""path":"{}","#, random.choose(PATHS));
    put!(text, r#""target":"{}","text":"{}","#, random.choose(TARGETS), random.choose(TITLES));
    put!(text, r#""x":{},"y":{},"#, random.below(1920), random.below(8000));
    put!(text, r#""item":"i{:07x}","position":{},"#, random.below(1 << 28), random.below(60));
    put!(text, r#""modifiers":[],"trusted":true"#);
}

fn video(text: &mut String, random: &mut Random) {
    put!(
        text,
        r#""video":"v{:09x}","position_ms":{},"#,
        random.draw() >> 28,
        random.below(900_000)
    );
    put!(
        text,
        r#""duration_ms":{},"quality":"{}","#,
        random.below(900_000),
        random.choose(FORMATS)
    );
    put!(text, r#""buffer_ms":{},"stalls":{},"#, random.below(30_000), random.below(4));
    put!(text, r#""bitrate":{},"codec":"av01.0.08M.10","#, random.below(8_000_000));
    put!(text, r#""muted":{},"fullscreen":{}"#, random.choose(BOOLS), random.choose(BOOLS));
}

fn network(text: &mut String, random: &mut Random) {
    put!(text, r#""url":"https://api.example.com{}","#, random.choose(PATHS));
    put!(text, r#""method":"GET","status":{},"#, random.choose([200, 200, 200, 304, 404, 502]));
    put!(text, r#""dns_ms":{},"tls_ms":{},"#, random.below(80), random.below(200));
    put!(text, r#""first_byte_ms":{},"total_ms":{},"#, random.below(900), random.below(4000));
    put!(text, r#""bytes":{},"trace":"{:016x}""#, random.below(500_000), random.draw());
}

fn timing(text: &mut String, random: &mut Random) {
    put!(text, r#""path":"{}","#, random.choose(PATHS));
    for name in ["ttfb", "fcp", "lcp", "inp"] {
        put!(text, r#""{name}":{}.{},"#, random.below(4000), random.below(10));
    }
    put!(text, r#""cls":{}e-3,"entries":["#, random.below(300));
    put!(text, r#"{{"name":"app.js","ms":{}}},"#, random.below(900));
    put!(text, r#"{{"name":"hero.webp","ms":{}}}]"#, random.below(900));
}

fn search(text: &mut String, random: &mut Random) {
    put!(text, r#""query":"{} {}","#, random.choose(WORDS), random.choose(WORDS));
    put!(text, r#""results":{},"page":{},"#, random.below(5000), random.below(5));
    put!(text, r#""filters":{{"price":[{},{}],"#, random.below(50), 50 + random.below(500));
    put!(text, r#""brand":null,"sort":"{}"}},"#, random.choose(WAYS));
    put!(text, r#""took_ms":{},"suggested":{}"#, random.below(800), random.choose(BOOLS));
}

fn error(text: &mut String, random: &mut Random) {
    let (line, column) = (random.below(4000), random.below(200));
    put!(text, r#""message":"TypeError: can't read \"{}\" of null","#, random.choose(TARGETS));
    put!(text, r#""stack":"at render (app.js:{line}:{column})\n    at commit (vendor.js:"#);
    put!(
        text,
        r#"{}:17)\n    at flush (vendor.js:{}:9)","#,
        random.below(9000),
        random.below(9000)
    );
    put!(text, r#""fatal":{},"path":"{}""#, random.choose(BOOLS), random.choose(PATHS));
}

fn cart(text: &mut String, random: &mut Random) {
    put!(text, r#""items":[{{"sku":"{:08x}","#, random.draw() >> 32);
    put!(text, r#""quantity":{},"price":{}.{:02}}}],"#, 1 + random.below(4), random.below(400), 99);
    put!(text, r#""currency":"{}","#, random.choose(["EUR", "CNY", "USD", "JPY"]));
    put!(text, r#""total":{}.{:02},"coupon":null,"#, random.below(2000), random.below(100));
    put!(text, r#""note":"{} \u2764","path":"{}""#, random.choose(WORDS), random.choose(PATHS));
}

fn app(text: &mut String, random: &mut Random) {
    put!(text, r#""cold":{},"launch_ms":{},"#, random.choose(BOOLS), random.below(5000));
    put!(text, r#""battery":0.{:02},"charging":{},"#, random.below(100), random.choose(BOOLS));
    put!(text, r#""memory":{{"used":{},"#, random.below(1 << 30));
    put!(text, r#""free":{}}},"session":"{:016x}","#, random.below(1 << 32), random.draw());
    put!(text, r#""previous":"{}","tz":"Asia/Shanghai""#, random.choose(PATHS));
}

fn experiment(text: &mut String, random: &mut Random) {
    put!(text, r#""experiment":"{}-{}","#, random.choose(FEEDS), random.below(400));
    put!(
        text,
        r#""variant":"{}","bucket":{},"#,
        random.choose(["a", "b", "c"]),
        random.below(1000)
    );
    put!(text, r#""layers":[{},{},{}],"#, random.below(99), random.below(99), random.below(99));
    put!(text, r#""forced":{},"hash":"{:016x}""#, random.choose(BOOLS), random.draw());
}

const BOOLS: [bool; 2] = [true, false];
const WIDTHS: [u16; 4] = [390, 412, 1440, 1920];
const WAYS: [&str; 4] = ["down", "up", "price_asc", "relevance"];
const FEEDS: [&str; 5] = ["home", "following", "discover", "local", "sale"];
const FORMATS: [&str; 5] = ["image", "1080p", "720p", "article", "480p"];
const WORDS: [&str; 6] = ["red shoes", "winter jacket", "火锅", "Müsli", "wireless", "tiramisù 🍰"];
const TARGETS: [&str; 5] =
    ["button.buy", "a.nav-link", "#feed > li:nth-child(3)", "div[role=tab]", "img.hero"];
const PATHS: [&str; 8] = [
    "/",
    "/product",
    "/category/women/shoes",
    "/live/room",
    "/news/2026/11/economy",
    "/account/orders",
    "/search",
    "/checkout/payment",
];
const TITLES: [&str; 6] = [
    "Winter sale: up to 60% off",
    "Live: the big match",
    "Add to cart",
    "今日头条 · 科技",
    "Your order \\\"confirmed\\\"",
    "Café crème – recettes",
];
const REFERRERS: [&str; 4] = [
    "https://www.google.com/",
    "",
    "https://m.facebook.com/story.php?id=8817",
    "android-app://com.example.feed/",
];
