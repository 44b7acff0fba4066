//! A mail server that does as the test says.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::{TcpListener, TcpStream};

/// Takes letters by SMTP, without encryption, on a loopback port, while it lives.
#[derive(Debug)]
pub struct PostOffice {
    /// The port.
    pub port: u16,
    desk: Arc<Mutex<Desk>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Desk {
    letters: Vec<String>,
    /// The answer to recipients, if they are refused.
    refuses: Option<&'static str>,
}

impl PostOffice {
    /// Opens one on a free port.
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let port = listener.local_addr().expect("is bound").port();
        let desk = Arc::new(Mutex::new(Desk::default()));
        let shared = Arc::clone(&desk);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&shared);
                tokio::spawn(async move {
                    // A client that leaves is no failure.
                    let _ = converse(stream, &shared).await;
                });
            }
        });
        Self { port, desk, task }
    }

    /// The letters that were taken, as they came.
    pub fn letters(&self) -> Vec<String> {
        self.desk.lock().expect("whole").letters.clone()
    }

    /// From now on recipients are answered so, or taken again.
    pub fn refuse(&self, answer: Option<&'static str>) {
        self.desk.lock().expect("whole").refuses = answer;
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn converse(stream: TcpStream, desk: &Mutex<Desk>) -> std::io::Result<()> {
    let mut stream = BufStream::new(stream);
    say(&mut stream, "220 post.example").await?;
    loop {
        let line = hear(&mut stream).await?;
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let refuses = desk.lock().expect("whole").refuses;
        match verb.as_str() {
            "EHLO" | "HELO" | "MAIL" | "RSET" | "NOOP" => say(&mut stream, "250 ok").await?,
            "RCPT" => say(&mut stream, refuses.unwrap_or("250 ok")).await?,
            "DATA" => {
                say(&mut stream, "354 go on").await?;
                let mut letter = String::new();
                loop {
                    let line = hear(&mut stream).await?;
                    if line == "." {
                        break;
                    }
                    letter.push_str(line.strip_prefix('.').unwrap_or(&line));
                    letter.push('\n');
                }
                desk.lock().expect("whole").letters.push(letter);
                say(&mut stream, "250 taken").await?;
            }
            "QUIT" => return say(&mut stream, "221 bye").await,
            _ => say(&mut stream, "500 what").await?,
        }
    }
}

async fn say(stream: &mut BufStream<TcpStream>, line: &str) -> std::io::Result<()> {
    stream.write_all(line.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    stream.flush().await
}

async fn hear(stream: &mut BufStream<TcpStream>) -> std::io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
