//! The daemon's status pages, over plain HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Status and body of a page.
pub fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    (status, body.to_owned())
}

/// Sum of the samples of a metric whose labels hold all of these.
pub fn metric(page: &str, name: &str, labels: &[&str]) -> f64 {
    let samples = page.lines().filter(|line| !line.starts_with('#'));
    let fitting = samples.filter(|line| {
        let metric = line.split(['{', ' ']).next();
        metric == Some(name) && labels.iter().all(|label| line.contains(label))
    });
    fitting.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}
