//! A fresh server is set up by its superuser, migrated by the owner, and used by the two other roles.

use berth_domain::random::SystemRandom;
use berth_domain::secret::Secret;
use berth_store::{MigrateOptions, Options, ProvisionOptions, Store, migrate, provision};
use berth_test_support::servers::postgres::{self, Server};

#[tokio::test]
async fn fresh_server_is_set_up_as_often_as_wanted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = postgres::Options {
        fsync: false,
        ..postgres::Options::new(folder.path().join("postgres"))
    };
    let server = tokio::task::spawn_blocking(move || Server::start(&options))
        .await
        .expect("no panic");
    let server = server.expect("Postgres starts");
    let url = |role: &str, password: &str| Secret::new(server.url(role, password, "berth"));
    for password in ["first", "first", "second"] {
        let owner_url = url("berth_owner", password);
        let options = ProvisionOptions {
            superuser_url: Secret::new(server.superuser_url()),
            owner_url: owner_url.clone(),
        };
        provision(&options, &SystemRandom).await.expect("is set up");
        let (app_url, system_url) = (url("berth_app", "a"), url("berth_system", "b"));
        let options = MigrateOptions {
            owner_url,
            app_url: app_url.clone(),
            system_url: system_url.clone(),
        };
        migrate(&options, &SystemRandom).await.expect("is migrated");
        let store = Store::connect(&Options::new(app_url, system_url))
            .await
            .expect("connects");
        store.check().await.expect("answers");
        store.close().await;
    }
    tokio::task::spawn_blocking(move || server.stop())
        .await
        .expect("no panic")
        .expect("stops");
}
