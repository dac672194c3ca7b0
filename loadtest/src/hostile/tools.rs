//! Tools that others have written: h2spec, testssl.sh, schemathesis.
//!
//! In: a tool that is installed, or its absence. Out: its own words in the report. A tool that
//! takes too long is ended, and nothing else is.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;

use super::report::Report;
use super::tls::Certificates;
use super::{Line, scene, scene_with_tls};
use crate::clock::poll_until;

/// Where a tool is: in the folder of our own tools, or in the path.
pub fn find(line: &Line, name: &str) -> Option<PathBuf> {
    let own = line.tools.join(name);
    if own.is_file() {
        return Some(own);
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// Runs a tool to its end, or to ours; gives what it printed, without colours.
pub fn run(command: &mut Command, seconds: u64) -> anyhow::Result<String> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("output");
    let output = std::fs::File::create(&path)?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().with_context(|| name.clone())?;
    let ended = poll_until(Duration::from_secs(seconds), || child.try_wait().transpose());
    if ended.is_none() {
        child.kill().with_context(|| name.clone())?;
        child.wait()?;
    }
    let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
    let late = if ended.is_none() { format!("\n(ended after {seconds} s)") } else { String::new() };
    Ok(format!("{}{late}", plain(&text)))
}

/// Without escape sequences of terminals.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(0, |at| at + 1);
        out.push_str(part.get(end..).unwrap_or_default());
    }
    out.retain(|c| c == '\n' || !c.is_control());
    out
}

/// Random requests from the document of our endpoints.
pub fn schemathesis(line: &Line, report: &mut Report) -> anyhow::Result<()> {
    let tool = PathBuf::from("target/python/bin/st");
    if !tool.is_file() {
        report.fail("schemathesis is not installed");
        return Ok(());
    }
    let scene = scene(line, "[sdk]\ndocument = \"\"\n")?;
    for (url, paths) in
        [(scene.gateway.listen(), "^/v1/"), (scene.gateway.admin(), "^/(healthz|readyz|metrics)")]
    {
        let mut command = Command::new(&tool);
        command.args(["run", "config/openapi.json", "--url", &format!("http://{url}")]);
        command.args(["--include-path-regex", paths, "--phases", "examples,coverage,fuzzing"]);
        command.args(["--checks", CHECKS, "--max-examples", &line.examples.to_string()]);
        command.args(["--continue-on-failure", "--no-color", "--seed", "1", "--warnings", "off"]);
        let output = run(&mut command, 900)?;
        let end: Vec<_> = output.lines().rev().take(60).collect();
        let end: Vec<_> = end.into_iter().rev().collect();
        report.quote(&end.join("\n"));
        if !output.contains("No issues found") {
            report.fail(&format!("schemathesis found something at {paths}"));
        }
    }
    Ok(())
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,response_headers_conformance,unsupported_method";

/// HTTP/2 by the letter.
pub fn h2spec(line: &Line, report: &mut Report) -> anyhow::Result<()> {
    let Some(tool) = find(line, "h2spec") else {
        report.fail("h2spec is not installed");
        return Ok(());
    };
    let certificates = Certificates::make()?;
    let scene = scene_with_tls(line, &certificates)?;
    let mut command = Command::new(tool);
    command.args(["-h", "127.0.0.1", "-p", &scene.gateway.listen().port().to_string()]);
    command.args(["-t", "-k", "-S", "-o", "5", "-P", "/v1/pixel.gif"]);
    let output = run(&mut command, 600)?;
    let failures: Vec<_> = output.lines().skip_while(|line| !line.contains("Failures:")).collect();
    report.quote(&failures.join("\n"));
    let sum = output.lines().rev().find(|line| line.contains(" passed, "));
    report.quote(sum.unwrap_or("no result"));
    if !sum.is_some_and(|sum| sum.ends_with(" 0 failed")) {
        report.fail("h2spec: not everything passed");
    }
    Ok(())
}

/// What our TLS offers.
pub fn testssl(line: &Line, report: &mut Report) -> anyhow::Result<()> {
    let Some(tool) = find(line, "testssl").or_else(|| find(line, "testssl.sh")) else {
        report.fail("testssl.sh is not installed");
        return Ok(());
    };
    let certificates = Certificates::make()?;
    let scene = scene_with_tls(line, &certificates)?;
    let mut command = Command::new(tool);
    command.args(["--quiet", "--color", "0", "--warnings", "off", "--ip", "one"]);
    command.arg(format!("https://{}", scene.gateway.listen()));
    let output = run(&mut command, 900)?;
    report.quote(&output);
    if output.contains("VULNERABLE (NOT ok)") {
        report.fail("testssl.sh found a weakness");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_away() {
        assert_eq!(plain("\x1b[1;32mYES\x1b[0m\r\nno"), "YES\nno");
    }

    #[test]
    fn a_tool_that_takes_too_long_is_ended() {
        let said = run(Command::new("sh").args(["-c", "echo here; sleep 60"]), 0).unwrap();
        assert!(said.ends_with("(ended after 0 s)"), "{said}");
        assert_eq!(run(Command::new("sh").args(["-c", "echo here"]), 30).unwrap(), "here\n");
    }
}
