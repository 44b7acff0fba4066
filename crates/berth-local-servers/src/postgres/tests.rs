//! With the real server of the machine.

use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use super::*;
use crate::find_program;

fn options(folder: &tempfile::TempDir) -> Options {
    Options {
        fsync: false,
        max_connections: 10,
        ..Options::new(folder.path().join("postgres"))
    }
}

fn query(url: &str, sql: &str) -> Result<String, String> {
    let psql = find_program("psql").expect("psql comes with the server");
    let output = Command::new(psql)
        .args([
            "--no-psqlrc",
            "--no-password",
            "--tuples-only",
            "--no-align",
            "--command",
            sql,
            url,
        ])
        .output()
        .expect("psql starts");
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

fn ask(server: &Server, sql: &str) -> String {
    query(&server.superuser_url(), sql).expect("the server answers")
}

#[test]
fn a_server_starts_answers_and_stops() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&options(&folder)).expect("the server starts");
    assert_eq!(ask(&server, "SHOW server_encoding"), "UTF8");
    assert_eq!(ask(&server, "SELECT upper('straße ä')"), "STRAßE Ä");
    assert_eq!(ask(&server, "SHOW fsync"), "off");
    let pid = server.pid();
    let port = server.port();
    server.stop().expect("the server stops");
    assert!(
        !Path::new("/proc").join(pid.to_string()).exists(),
        "the process is gone"
    );
    assert!(ports::connect(port).is_none(), "nothing listens any more");
}

#[test]
fn a_wrong_password_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&options(&folder)).expect("the server starts");
    let refusal = query(&server.url(SUPERUSER, "wrong", SUPERUSER), "SELECT 1").expect_err("must be refused");
    assert!(refusal.contains("password authentication failed"), "{refusal}");
    let socket = server
        .socket_dir()
        .expect("the path of a temporary folder is short");
    let by_socket = format!(
        "postgres:///{SUPERUSER}?host={}&port={}&user={SUPERUSER}",
        socket.display(),
        server.port()
    );
    let refusal = query(&by_socket, "SELECT 1").expect_err("the socket asks for a password too");
    assert!(refusal.contains("password"), "{refusal}");
}

#[test]
fn data_and_password_outlive_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&options(&folder)).expect("the server starts");
    ask(&server, "CREATE TABLE kept AS SELECT 42 AS answer");
    server.stop().expect("the server stops");
    let server = Server::start(&options(&folder)).expect("the server starts again");
    assert_eq!(ask(&server, "SELECT answer FROM kept"), "42");
}

#[test]
fn a_killed_server_is_started_again_over_its_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = Options {
        fsync: true,
        ..options(&folder)
    };
    let server = Server::start(&options).expect("the server starts");
    ask(&server, "CREATE TABLE kept AS SELECT 42 AS answer");
    // A session that is busy when the server dies keeps its shared memory for a while.
    let url = server.superuser_url();
    let busy = std::thread::spawn(move || query(&url, "SELECT pg_sleep(600)"));
    server.kill().expect("the server is killed");
    let server = Server::start(&options).expect("the server starts again");
    assert_eq!(ask(&server, "SELECT answer FROM kept"), "42");
    busy.join()
        .expect("does not panic")
        .expect_err("the session died with its server");
}

#[test]
fn two_servers_do_not_share_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&options(&folder)).expect("the server starts");
    let error = Server::start(&options(&folder)).expect_err("the folder is taken");
    assert!(
        matches!(error, Error::AlreadyRunning { pid, .. } if pid == server.pid()),
        "{error}"
    );
    let error = remove(folder.path().join("postgres").as_path()).expect_err("the folder is in use");
    assert!(matches!(error, Error::AlreadyRunning { .. }), "{error}");
}

#[test]
fn a_removed_folder_starts_empty() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(&options(&folder)).expect("the server starts");
    ask(&server, "CREATE TABLE kept AS SELECT 42 AS answer");
    server.stop().expect("the server stops");
    remove(&options(&folder).data_dir).expect("a stopped server's folder can be removed");
    assert!(!options(&folder).data_dir.exists());
    let server = Server::start(&options(&folder)).expect("the server starts");
    assert_eq!(ask(&server, "SELECT to_regclass('kept') IS NULL"), "t");
}

#[test]
fn an_interrupted_first_start_is_begun_anew() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let half_made = options(&folder).data_dir.join("cluster");
    fs::create_dir_all(&half_made).expect("a fresh folder");
    fs::write(half_made.join("PG_VERSION"), "15\n").expect("is written");
    let server = Server::start(&options(&folder)).expect("the server starts");
    assert_eq!(ask(&server, "SELECT 1"), "1");
}

#[test]
fn files_of_another_version_are_told_apart_and_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = options(&folder);
    assert_eq!(made_by(&options.data_dir), None);
    let server = Server::start(&options).expect("the server starts");
    let (cluster, version) = (server.cluster.folder.clone(), server.installation().version);
    server.stop().expect("the server stops");
    assert_eq!(made_by(&options.data_dir), Some(version));

    fs::write(cluster.join("PG_VERSION"), "99\n").expect("is written");
    assert_eq!(made_by(&options.data_dir), Some(99));
    let error = Server::start(&options).expect_err("no such version is installed");
    assert!(
        matches!(&error, Error::OtherVersion { made_by, .. } if made_by == "99"),
        "{error}"
    );
    fs::write(cluster.join("PG_VERSION"), format!("{version}\n")).expect("is written");
    Server::start(&options).expect("the server starts");
}

#[test]
fn a_port_in_use_is_an_error_that_shows_the_log() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("is bound").port();
    let error = Server::start(&Options {
        port: Some(port),
        ..options(&folder)
    })
    .expect_err("the port is taken");
    assert!(error.to_string().contains("Address already in use"), "{error}");
}

/// The fallback for root in a container; an ordinary user cannot take it, and never needs it.
#[test]
fn root_without_user_namespaces_runs_it_as_nobody() {
    if Account::choose().expect("an account") == Account::Caller {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("closed to others");
    // Programs below a closed folder, too: links to the real ones serve as an installation.
    let found = Installation::find(None).expect("Postgres is installed");
    let programs = folder.path().join("programs");
    fs::create_dir(&programs).expect("a fresh folder");
    symlink(&found.bin, programs.join("bin")).expect("is linked");
    let options = Options {
        binaries: Some(programs),
        ..options(&folder)
    };
    let server = Server::start_as(Account::Nobody, &options).expect("the server starts");
    assert_eq!(ask(&server, "SELECT 1"), "1");
    let owner = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("runs");
    assert!(
        owner.lines().any(|line| line.starts_with("Uid:\t65534")),
        "{owner}"
    );
    ask(&server, "CREATE TABLE kept AS SELECT 42 AS answer");
    server.stop().expect("the server stops");

    let server = Server::start(&options).expect("a later start may use a user namespace");
    assert_eq!(ask(&server, "SELECT answer FROM kept"), "42");
    server.stop().expect("the server stops");

    let home = cluster::home(&options.data_dir);
    assert!(
        home.join(format!("installation-{}", found.version)).exists(),
        "the programs were copied"
    );
    assert_ne!(
        home, options.data_dir,
        "the files lie where nobody can reach them"
    );
    remove(&options.data_dir).expect("can be removed");
    assert!(!home.exists(), "nothing is left elsewhere");
}

#[test]
fn root_in_another_users_closed_folder_keeps_the_files_elsewhere() {
    if Account::choose().expect("an account") != Account::UserNamespace {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("closed to others");
    std::os::unix::fs::chown(folder.path(), Some(12_345), Some(12_345)).expect("root may");
    let options = options(&folder);
    let server = Server::start(&options).expect("the server starts");
    assert_eq!(ask(&server, "SELECT 1"), "1");
    server.stop().expect("the server stops");
    let home = cluster::home(&options.data_dir);
    assert_ne!(
        home, options.data_dir,
        "the files lie where root without privileges can reach them"
    );
    remove(&options.data_dir).expect("can be removed");
    assert!(!home.exists(), "nothing is left elsewhere");
}

/// Runs in a process of its own, see below.
const CHILD_VARIABLE: &str = "BERTH_LOCAL_SERVERS_TEST_FOLDER";

#[test]
fn the_server_ends_when_its_starter_is_killed() {
    if let Some(folder) = std::env::var_os(CHILD_VARIABLE) {
        let options = Options {
            fsync: false,
            max_connections: 10,
            ..Options::new(folder)
        };
        let server = Server::start(&options).expect("the server starts");
        println!("\nserver pid {}.", server.pid());
        std::thread::sleep(Duration::from_mins(10));
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut starter = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "--nocapture",
            "postgres::tests::the_server_ends_when_its_starter_is_killed",
        ])
        .env(CHILD_VARIABLE, folder.path().join("postgres"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("the test starts itself");
    let mut output = starter.stdout.take().expect("is piped");
    let mut text = String::new();
    let mut byte = [0];
    while !text.ends_with('.') || !text.contains("server pid ") {
        output.read_exact(&mut byte).expect("the server starts");
        text.push(char::from(byte[0]));
    }
    let pid = text
        .rsplit(' ')
        .next()
        .expect("a number")
        .trim_end_matches('.')
        .to_owned();
    let process = Path::new("/proc").join(&pid);
    assert!(process.exists());
    starter.kill().expect("is running");
    starter.wait().expect("is running");
    let begin = Instant::now();
    while process.exists() && begin.elapsed() < Duration::from_secs(30) {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(!process.exists(), "the server {pid} outlived its starter");
}
