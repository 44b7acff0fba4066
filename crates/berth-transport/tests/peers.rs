//! Who is let in, over real sockets and with real certificates.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_transport::{Location, Peers, Security, TlsFiles, this_machine};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(30);

/// An authority, and a folder for what it signs.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("is written");
        Self { issuer, folder }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The files of a node whose certificate is made out to `host`.
    fn sign(&self, node: &str, host: &str) -> TlsFiles {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![host.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let (certificate_file, key_file) = (
            self.file(&format!("{node}.crt")),
            self.file(&format!("{node}.key")),
        );
        fs::write(&certificate_file, certificate.pem()).expect("is written");
        fs::write(&key_file, key.serialize_pem()).expect("is written");
        TlsFiles {
            authority_file: self.file("ca.pem"),
            certificate_file,
            key_file,
            server_name: None,
        }
    }
}

fn with_tls(files: TlsFiles) -> Peers {
    Peers::new(Some(Security::Tls(files)), true).expect("the files fit")
}

fn with_secret(secret: &str) -> Peers {
    Peers::new(Some(Security::Secret(Secret::new(secret))), true).expect("a secret fits")
}

/// A node that turns around what those say whom it lets in; nothing is called `gone` there.
struct Node {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Node {
    async fn open(peers: Peers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let peers = peers.clone();
                tokio::spawn(async move {
                    let Ok(admission) = peers.admit(stream, &SystemRandom).await else {
                        return;
                    };
                    if admission.target == "gone" {
                        admission.refuse("it has left").await.expect("is told");
                        return;
                    }
                    let mut stream = admission.accept().await.expect("is told");
                    let mut said = [0; 4];
                    if stream.read_exact(&mut said).await.is_ok() {
                        stream.write_all(&said).await.expect("is heard");
                        stream.flush().await.expect("is heard");
                    }
                });
            }
        });
        Self { address, task }
    }

    fn location(&self, target: &str) -> Location {
        Location {
            socket: PathBuf::from("/nowhere"),
            machine: Some("another".to_owned()),
            endpoint: Some(self.address.to_string()),
            target: target.to_owned(),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects and says something; fails with the words why not.
async fn talk(peers: &Peers, location: &Location) -> Result<(), String> {
    let talked = async {
        let mut stream = peers.connect(location).await?;
        stream.write_all(b"ping").await?;
        stream.flush().await?;
        let mut heard = [0; 4];
        stream.read_exact(&mut heard).await?;
        assert_eq!(&heard, b"ping");
        std::io::Result::Ok(())
    };
    let talked = timeout(LIMIT, talked).await.expect("in time");
    talked.map_err(|error| error.to_string())
}

#[tokio::test]
async fn nodes_of_one_authority_talk() {
    let authority = Authority::new();
    let node = Node::open(with_tls(authority.sign("worker", "127.0.0.1"))).await;
    let api = with_tls(authority.sign("api", "api.internal"));
    talk(&api, &node.location("x")).await.expect("it is let in");
    let refused = talk(&api, &node.location("gone")).await;
    assert_eq!(refused, Err("it has left".to_owned()));
}

#[tokio::test]
async fn node_of_another_authority_is_not_let_in_and_not_believed() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let node = Node::open(with_tls(ours.sign("worker", "127.0.0.1"))).await;
    let stranger = with_tls(theirs.sign("api", "127.0.0.1"));
    talk(&stranger, &node.location("x"))
        .await
        .expect_err("it does not trust the node");
    // It trusts the node, and shows a certificate that the node does not trust.
    let mut files = theirs.sign("api", "127.0.0.1");
    files.authority_file = ours.file("ca.pem");
    talk(&with_tls(files), &node.location("x"))
        .await
        .expect_err("it is not let in");
}

#[tokio::test]
async fn certificate_for_another_name_is_not_believed_unless_that_is_expected() {
    let authority = Authority::new();
    let node = Node::open(with_tls(authority.sign("worker", "worker.internal"))).await;
    let mut files = authority.sign("api", "api.internal");
    talk(&with_tls(files.clone()), &node.location("x"))
        .await
        .expect_err("it is for another name");
    files.server_name = Some("worker.internal".to_owned());
    talk(&with_tls(files), &node.location("x"))
        .await
        .expect("it is expected");
}

#[tokio::test]
async fn caller_without_a_certificate_is_not_let_in() {
    let authority = Authority::new();
    let node = Node::open(with_tls(authority.sign("worker", "127.0.0.1"))).await;
    talk(&with_secret("x"), &node.location("x"))
        .await
        .expect_err("no TLS at all");
    // Plain text is closed at once or answered by an alert; a greeting never comes.
    let mut stream = TcpStream::connect(node.address).await.expect("connects");
    stream.write_all(&[0; 64]).await.expect("is sent");
    let mut heard = Vec::new();
    // A reset is an end too.
    let _ = timeout(LIMIT, stream.read_to_end(&mut heard))
        .await
        .expect("in time");
    assert!(heard.len() < 33, "{heard:?}");
}

#[tokio::test]
async fn secret_has_to_be_known() {
    let node = Node::open(with_secret("correct horse battery staple")).await;
    let location = node.location("x");
    talk(&with_secret("correct horse battery staple"), &location)
        .await
        .expect("it is let in");
    let refused = talk(&with_secret("incorrect"), &location).await;
    assert_eq!(refused, Err("the secret is another one".to_owned()));
    talk(&Peers::here(), &location).await.expect_err("it knows none");
}

#[tokio::test]
async fn certificate_that_was_renewed_is_shown() {
    let (old, new) = (Authority::new(), Authority::new());
    let files = old.sign("worker", "127.0.0.1");
    let node = Node::open(with_tls(files.clone())).await;
    let renewed = new.sign("worker", "127.0.0.1");
    let api = with_tls(new.sign("api", "127.0.0.1"));
    talk(&api, &node.location("x"))
        .await
        .expect_err("it is of another authority");
    let copy = |from: &Path, to: &Path| {
        fs::copy(from, to).expect("is copied");
        // The clock of files is coarse, and the test is fast.
        let file = fs::File::options().write(true).open(to).expect("is there");
        let later = fs::metadata(to).expect("is there").modified().expect("a time") + Duration::from_secs(9);
        file.set_modified(later).expect("is changed");
    };
    // Half of the change is no certificate, and changes nothing.
    copy(&renewed.certificate_file, &files.certificate_file);
    after_a_while().await;
    talk(&api, &node.location("x"))
        .await
        .expect_err("the old one stays");
    copy(&renewed.key_file, &files.key_file);
    copy(&renewed.authority_file, &files.authority_file);
    after_a_while().await;
    talk(&api, &node.location("x"))
        .await
        .expect("the new one is shown");
}

/// Lets the clock of the files' watch move on.
async fn after_a_while() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn socket_is_taken_on_the_same_machine_and_not_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("s.sock");
    let listener = tokio::net::UnixListener::bind(&socket).expect("a socket");
    let node = Node::open(with_secret("s")).await;
    let location = |machine: Option<String>| Location {
        socket: socket.clone(),
        machine,
        ..node.location("x")
    };
    let unix = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("connects");
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.expect("is said");
        stream.write_all(&said).await.expect("is heard");
        listener
    });
    talk(&with_secret("s"), &location(this_machine()))
        .await
        .expect("by the socket");
    let _listener = unix.await.expect("it was used");
    // Now nobody answers at the socket, so these come by the node.
    talk(&with_secret("s"), &location(Some("another".to_owned())))
        .await
        .expect("another machine");
    let apart = Peers::new(Some(Security::Secret(Secret::new("s"))), false).expect("fits");
    talk(&apart, &location(this_machine()))
        .await
        .expect("told not to use sockets");
}
