//! Publishes with headers that no client library would send, over a socket of its own.

use harness::Deployment;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// Publishes with these bytes as headers, and awaits the PubAck.
pub async fn publish(deployment: &Deployment, subject: &str, headers: &[u8], payload: &[u8]) {
    let address = deployment.nats.strip_prefix("nats://").unwrap();
    let mut socket = BufReader::new(TcpStream::connect(address).await.unwrap());
    let connect = r#"CONNECT {"verbose":false,"pedantic":false,"headers":true}"#;
    let own = headers.len();
    let all = headers.len() + payload.len();
    let head = format!("{connect}\r\nSUB reply 1\r\nHPUB {subject} reply {own} {all}\r\n");
    let request = [head.as_bytes(), headers, payload, b"\r\n"].concat();
    socket.write_all(&request).await.unwrap();
    let mut line = String::new();
    while !line.starts_with("MSG reply") {
        assert!(!line.starts_with("-ERR"), "{line}");
        line.clear();
        assert_ne!(
            socket.read_line(&mut line).await.unwrap(),
            0,
            "the server closed the connection"
        );
    }
    line.clear();
    socket.read_line(&mut line).await.unwrap();
    assert!(line.contains("\"seq\""), "the stream took it: {line}");
}
