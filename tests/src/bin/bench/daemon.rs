//! What the real binary takes to start, to go on, and to ask for work.

use std::path::Path;
use std::time::Duration;

use agentkube_lab::{Clock, Lab};
use agentkube_tests::{Plan, Scene, wait};
use rusqlite::{Connection, OpenFlags};

use crate::{median, millis, row};

/// Prints the rows.
pub async fn measure() {
    start_and_polls().await;
    restart().await;
}

/// Times of the polls that Core saw.
fn polls(lab: &Lab) -> Vec<u64> {
    lab.core(|core| core.log().filter(|asked| asked.path.ends_with("/jobs/pending")).map(|asked| asked.at).collect())
}

fn handshakes(scene: &Scene) -> u64 {
    scene.lab.traffic().iter().find(|(name, ..)| *name == "core").map_or(0, |(_, handshakes, _)| *handshakes)
}

async fn start_and_polls() {
    let mut scene = Scene::prepare(Plan::default()).await;
    let text = std::fs::read_to_string(scene.config()).unwrap();
    // Polls as fast as they go: what is counted are connections, not time.
    std::fs::write(scene.config(), text.replacen("poll-ms = 250", "poll-ms = 10", 1)).unwrap();
    scene.run().await;
    wait::until("the first poll", || polls(&scene.lab).last().copied()).await;

    let mut times = Vec::new();
    for _ in 0..5 {
        scene.terminate().await;
        let began = Clock::real().now();
        scene.run().await;
        let first = wait::until("a poll", || polls(&scene.lab).into_iter().find(|at| *at >= began)).await;
        times.push(Duration::from_millis(first - began));
    }
    row("start to first poll, plugins cached, p50 of 5", "≤ 150 ms", &millis(median(times)));

    scene.terminate().await;
    let (before, polled) = (handshakes(&scene), polls(&scene.lab).len());
    scene.run().await;
    wait::until("1,000 polls", || (polls(&scene.lab).len() >= polled + 1_000).then_some(())).await;
    let first = handshakes(&scene) - before;
    wait::until("2,000 polls", || (polls(&scene.lab).len() >= polled + 2_000).then_some(())).await;
    let second = handshakes(&scene) - before - first;
    row(
        "TLS handshakes per 1,000 polls",
        "≤ 2",
        &format!("{first} from the start on, heartbeats included; then {second}"),
    );
}

/// From the start of the process until a step is begun again, with few services and with many.
async fn restart() {
    let mut scene = Scene::start(Plan { scale: 10, ..Plan::default() }).await;
    let journal = scene.directory().join("data/journal.db");
    let ready = scene.order("ready").await;
    scene.completed(&ready).await;
    let made = scene.found().vms;
    scene.order("bench").await;
    wait::until("a machine", || (scene.found().vms > made).then_some(())).await;
    scene.kill();
    let few = resumed(&mut scene, &journal).await;
    row("restart to first resumed step, 2 services, p50 of 3", "≤ 2 s", &millis(few));
    let services = multiply(&journal, &ready);
    let many = resumed(&mut scene, &journal).await;
    row(&format!("restart to first resumed step, {services} services, p50 of 3"), "≤ 2 s", &millis(many));
}

/// Starts the daemon and kills it when a step has begun, three times.
async fn resumed(scene: &mut Scene, journal: &Path) -> Duration {
    let mut times = Vec::new();
    for _ in 0..3 {
        let began = Clock::real().now();
        scene.run().await;
        let begun = "SELECT MIN(started_ms) FROM steps WHERE started_ms >= ?1";
        let at = wait::until("a resumed step", || {
            let reader = Connection::open_with_flags(journal, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
            reader.query_row(begun, [began as i64], |row| row.get::<_, Option<i64>>(0)).unwrap()
        })
        .await;
        times.push(Duration::from_millis(at as u64 - began));
        scene.kill();
    }
    median(times)
}

/// Copies everything that the journal holds of a service a thousand times; gives how many services there are then.
fn multiply(journal: &Path, service: &str) -> i64 {
    const COPIES: i64 = 999;
    let mut writer = Connection::open(journal).unwrap();
    let whole = writer.transaction().unwrap();
    for table in ["inbox", "services", "intents", "steps", "ledger", "outbox"] {
        let columns: Vec<String> = {
            let mut statement = whole.prepare("SELECT name FROM pragma_table_info(?1)").unwrap();
            let names = statement.query_map([table], |row| row.get(0)).unwrap();
            names.collect::<Result<_, _>>().unwrap()
        };
        // Numbers of intents and ledger rows, and ids that come from Core, are each copy's own.
        let copied = columns.iter().map(|column| match (table, column.as_str()) {
            (_, "service" | "job") => format!("{column} || '-' || copy.n"),
            ("intents" | "ledger", "id") | ("steps", "intent") => format!("{column} + 1000000 * copy.n"),
            _ => column.clone(),
        });
        let copied: Vec<String> = copied.collect();
        let mine = match table {
            "steps" => "intent IN (SELECT id FROM intents WHERE service = ?1)",
            _ => "service = ?1",
        };
        let insert = format!(
            "WITH RECURSIVE copy(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < {COPIES}) \
             INSERT INTO {table} ({}) SELECT {} FROM {table}, copy WHERE {mine}",
            columns.join(", "),
            copied.join(", "),
        );
        whole.execute(&insert, [service]).unwrap();
    }
    let services = whole.query_row("SELECT COUNT(*) FROM services", [], |row| row.get(0)).unwrap();
    whole.commit().unwrap();
    services
}
