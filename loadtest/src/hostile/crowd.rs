//! Many clients at the same time, each with one bomb from an address of its own: in one instant, and
//! so that all of them are half done at the same time.
//!
//! What a crowd costs in one instant is compared with the same crowd with ordinary batches: whoever
//! comes then waits for so many others in any case.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

use super::bombs::{self, Bomb};
use super::report::Report;
use super::scene::TARGET;
use super::scene::apart;
use super::{Line, scene};
use crate::gateway::Gateway;
use crate::send::{connect, source};

/// How long one bomb may take, refusal included.
const PATIENCE: Duration = Duration::from_mins(1);
/// The gateway's default memory budget.
pub const BUDGET_MIB: f64 = 512.0;

/// Every sort of bomb, one after the other.
pub fn bombs(line: &Line, report: &mut Report) -> anyhow::Result<()> {
    let mut scene = scene(line, "")?;
    let mut crowd = |bomb: &Bomb, over, report: &mut Report, usual_ms| {
        let name = format!("{} clients with {}", line.bombs, bomb.name);
        let name = format!("{name}, {}", if over == AT_ONCE { "at once" } else { "over 8 s" });
        let mut wrong = Vec::new();
        let measured = scene.play(|gateway| {
            let answers = apart(|| throw(gateway, bomb, line.bombs, over))?;
            wrong.extend(answers.keys().filter(|word| !expected(bomb, word)).cloned());
            Ok(format!("answers {answers:?}"))
        })?;
        report.attack(&name, &measured, BUDGET_MIB, usual_ms);
        if !wrong.is_empty() {
            report.fail(&format!("{name}: answers {wrong:?}"));
        }
        anyhow::Ok(measured.during.felt.p99_ms)
    };
    let usual_ms = crowd(&bombs::ordinary(TARGET)?, AT_ONCE, report, f64::INFINITY)?;
    for bomb in bombs::all(TARGET)? {
        if !bomb.name.contains(&line.sort) {
            continue;
        }
        crowd(&bomb, AT_ONCE, report, usual_ms)?;
        crowd(&bomb, SPREAD, report, 0.0)?;
    }
    Ok(())
}

/// All in one instant.
const AT_ONCE: Duration = Duration::ZERO;
/// Over this time they come and send their first halves, then over as long their second ones. A body
/// that is slower than 5 s would be too late.
const SPREAD: Duration = Duration::from_secs(4);

/// Throws one sort from many clients; counts what came back.
fn throw(
    gateway: &Gateway,
    bomb: &Bomb,
    clients: usize,
    over: Duration,
) -> anyhow::Result<BTreeMap<String, u64>> {
    let address = gateway.listen();
    let bytes: Arc<[u8]> = bomb.request.clone().into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..clients {
            let bytes = Arc::clone(&bytes);
            let at = start + over.mul_f64(number as f64 / clients as f64);
            tasks.spawn(async move {
                let one = one(address, number, &bytes, [at, at + over]);
                tokio::time::timeout(PATIENCE, one).await.unwrap_or_else(|_| "late".to_owned())
            });
        }
        let mut answers = BTreeMap::new();
        while let Some(answer) = tasks.join_next().await {
            *answers.entry(answer?).or_default() += 1;
        }
        Ok(answers)
    })
}

/// Sends one half at each of the times, unless it is answered before.
async fn one(address: SocketAddr, number: usize, bytes: &[u8], at: [Instant; 2]) -> String {
    tokio::time::sleep_until(at[0]).await;
    let Ok(mut stream) = connect(address, source(number)).await else {
        return "no connection".into();
    };
    let (mut reader, mut writer) = stream.split();
    let mut answer = [0; 1_024];
    // The answer may come while the body is still on its way.
    let write = async {
        let (first, second) = bytes.split_at(bytes.len() / 2);
        for (half, at) in [first, second].into_iter().zip(at) {
            tokio::time::sleep_until(at).await;
            if writer.write_all(half).await.is_err() {
                // Closed while it was being sent: what was answered may still be read.
                return;
            }
        }
        std::future::pending::<()>().await;
    };
    let read = reader.read(&mut answer);
    let read = tokio::select! {
        read = read => read,
        () = write => Err(std::io::ErrorKind::BrokenPipe.into()),
    };
    let read = match read {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            reader.read(&mut answer).await
        }
        read => read,
    };
    let text = String::from_utf8_lossy(answer.get(..read.unwrap_or(0)).unwrap_or_default());
    text.split(' ').nth(1).unwrap_or("closed").to_owned()
}

/// 429 as well, where a limit per address stands in front.
fn expected(bomb: &Bomb, word: &str) -> bool {
    word.parse().is_ok_and(|status: u16| status == 429 || bomb.statuses.contains(&status))
}
