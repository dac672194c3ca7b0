//! `slowhttptest` in its four modes: heads, bodies, ranges and reads that take for ever.

use std::process::Command;

use super::report::Report;
use super::scene::apart;
use super::tools::{find, run};
use super::{Line, crowd, scene};

/// Mode, its options, and what it does.
const MODES: [(&str, &str, &str); 4] = [
    ("-H", "-i 5 -x 24 -p 3 -t GET", "/v1/config"),
    ("-B", "-i 5 -s 921600 -x 10 -p 3 -t POST", "/v1/batch"),
    ("-R", "-a 10 -b 3000 -p 3 -t HEAD", "/v1/pixel.gif"),
    ("-X", "-w 512 -y 1024 -n 5 -z 32 -k 3 -p 3", "/v1/pixel.gif"),
];

/// Every mode, one after the other, against one gateway.
pub fn modes(line: &Line, report: &mut Report) -> anyhow::Result<()> {
    let Some(tool) = find(line, "slowhttptest") else {
        report.fail("slowhttptest is not installed");
        return Ok(());
    };
    let mut scene = scene(line, "")?;
    for (mode, options, path) in MODES {
        let mut output = String::new();
        let measured = scene.play(|gateway| {
            let mut command = Command::new(&tool);
            command.arg(mode).args(options.split(' '));
            command.args(["-c", &line.connections.to_string(), "-r", "1000"]);
            command.args(["-l", &line.seconds.to_string()]);
            command.args(["-u", &format!("http://{}{path}", gateway.listen())]);
            output = apart(|| run(&mut command, line.seconds + 60))?;
            Ok(format!("{} connections to {path}", line.connections))
        })?;
        let name = format!("slowhttptest {mode}");
        report.attack(&name, &measured, crowd::BUDGET_MIB, 0.0);
        let last = output.rfind("slow HTTP test status").map_or(0, |at| at);
        let end: Vec<_> = output[last..].lines().filter(|line| !line.trim().is_empty()).collect();
        report.quote(&end.join("\n"));
        if output.contains("service available:   NO") {
            report.say("The tool's own probe, from the attacker's address, was not always served.");
        }
    }
    Ok(())
}
