//! Many clients at the same time, each with one bomb from an address of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::bombs::{self, Bomb};
use super::report::Report;
use super::scene::TARGET;
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
    for bomb in bombs::all(TARGET)? {
        let name = format!("{} clients with {}", line.bombs, bomb.name);
        let mut wrong = Vec::new();
        let measured = scene.play(|gateway| {
            let answers = throw(gateway, &bomb, line.bombs)?;
            wrong.extend(answers.keys().filter(|word| !expected(&bomb, word)).cloned());
            Ok(format!("answers {answers:?}"))
        })?;
        report.attack(&name, &measured, BUDGET_MIB);
        if !wrong.is_empty() {
            report.fail(&format!("{name}: answers {wrong:?}"));
        }
    }
    Ok(())
}

/// Throws one sort from many clients at once; counts what came back.
fn throw(gateway: &Gateway, bomb: &Bomb, clients: usize) -> anyhow::Result<BTreeMap<String, u64>> {
    let address = gateway.listen();
    let bytes: Arc<[u8]> = bomb.request.clone().into();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..clients {
            let bytes = Arc::clone(&bytes);
            tasks.spawn(async move {
                let one = one(address, number, &bytes);
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

async fn one(address: SocketAddr, number: usize, bytes: &[u8]) -> String {
    let Ok(mut stream) = connect(address, source(number)).await else {
        return "no connection".into();
    };
    let (mut reader, mut writer) = stream.split();
    let mut answer = [0; 1_024];
    // The answer may come while the body is still on its way.
    let write = async {
        let written = writer.write_all(bytes).await;
        if written.is_err() {
            // Closed while it was being sent: what was answered may still be read.
            return;
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
