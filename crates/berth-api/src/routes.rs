//! The route table: which endpoints there are. Paths stand with the handlers.

use utoipa_actix_web::service_config::ServiceConfig;

use crate::{control, oip, openai, operations};

/// Every endpoint. The first one that matches answers, so the busiest come first.
pub(crate) fn configure(config: &mut ServiceConfig<'_>) {
    inference(config);
    operations(config);
    auth(config);
    organizations(config);
    projects(config);
    models(config);
    platform(config);
}

fn inference(config: &mut ServiceConfig<'_>) {
    config
        .service(openai::embeddings::create::create)
        .service(oip::models::infer::on_model)
        .service(oip::models::infer::on_version)
        .service(openai::models::list::list)
        .service(openai::models::show::show)
        .service(oip::server::metadata::metadata)
        .service(oip::server::live::show)
        .service(oip::server::ready::show)
        .service(oip::models::statistics::of_all)
        .service(oip::models::metadata::of_model)
        .service(oip::models::metadata::of_version)
        .service(oip::models::ready::of_model)
        .service(oip::models::ready::of_version)
        .service(oip::models::config::of_model)
        .service(oip::models::config::of_version)
        .service(oip::models::statistics::of_model)
        .service(oip::models::statistics::of_version)
        .service(oip::repository::index::index)
        .service(oip::repository::load::load)
        .service(oip::repository::unload::unload);
}

fn operations(config: &mut ServiceConfig<'_>) {
    use operations::{documents, error_codes, health, metrics};
    config
        .service(health::live::show)
        .service(health::ready::show)
        .service(metrics::show::show)
        .service(documents::jwks::jwks)
        .service(documents::openapi::openapi)
        .service(documents::entrance::entrance)
        .service(documents::pages::pages)
        .service(error_codes::list::list)
        .service(error_codes::show::show);
}

fn auth(config: &mut ServiceConfig<'_>) {
    use control::auth;
    config
        .service(auth::sign_up::sign_up)
        .service(auth::sign_in::sign_in)
        .service(auth::token::token)
        .service(auth::refresh::refresh)
        .service(auth::sign_out::sign_out)
        .service(auth::me::me)
        .service(auth::change_password::change_password)
        .service(auth::request_password_reset::request_password_reset)
        .service(auth::confirm_password_reset::confirm_password_reset)
        .service(auth::list_sessions::list_sessions)
        .service(auth::end_session::end_session)
        .service(auth::accept_invitation::accept_invitation);
}

fn organizations(config: &mut ServiceConfig<'_>) {
    use control::{invitations, members, organizations, roles};
    config
        .service(organizations::list::list)
        .service(organizations::create::create)
        .service(organizations::show::show)
        .service(organizations::update::update)
        .service(organizations::suspend::suspend)
        .service(organizations::resume::resume)
        .service(organizations::delete::delete)
        .service(members::list::list)
        .service(members::show::show)
        .service(members::update::update)
        .service(members::remove::remove)
        .service(members::leave::leave)
        .service(invitations::list::list)
        .service(invitations::create::create)
        .service(invitations::revoke::revoke)
        .service(roles::list::list)
        .service(roles::create::create)
        .service(roles::show::show)
        .service(roles::update::update)
        .service(roles::remove::remove);
}

fn projects(config: &mut ServiceConfig<'_>) {
    use control::{api_keys, project_invitations, project_members, projects, service_accounts};
    config
        .service(projects::list::list)
        .service(projects::create::create)
        .service(projects::show::show)
        .service(projects::update::update)
        .service(projects::suspend::suspend)
        .service(projects::resume::resume)
        .service(projects::delete::delete)
        .service(project_members::list::list)
        .service(project_members::show::show)
        .service(project_members::update::update)
        .service(project_members::remove::remove)
        .service(project_invitations::list::list)
        .service(project_invitations::create::create)
        .service(project_invitations::revoke::revoke)
        .service(service_accounts::list::list)
        .service(service_accounts::create::create)
        .service(service_accounts::show::show)
        .service(service_accounts::disable::disable)
        .service(service_accounts::enable::enable)
        .service(service_accounts::delete::delete)
        .service(api_keys::list::list)
        .service(api_keys::create::create)
        .service(api_keys::show::show)
        .service(api_keys::rotate::rotate)
        .service(api_keys::revoke::revoke);
}

fn models(config: &mut ServiceConfig<'_>) {
    use control::{deployments, models, requests, versions};
    config
        .service(models::list::list)
        .service(models::create::create)
        .service(models::show::show)
        .service(models::update::update)
        .service(models::delete::delete)
        .service(versions::list::list)
        .service(versions::upload::upload)
        .service(versions::show::show)
        .service(versions::delete::delete)
        .service(requests::show::show)
        .service(deployments::list::list)
        .service(deployments::create::create)
        .service(deployments::show::show)
        .service(deployments::ready::ready)
        .service(deployments::release::release)
        .service(deployments::update::update)
        .service(deployments::delete::delete);
}

fn platform(config: &mut ServiceConfig<'_>) {
    use control::{fleet, platform};
    config
        .service(fleet::workers::workers)
        .service(fleet::placements::placements)
        .service(platform::list_organizations::list_organizations)
        .service(platform::create_organization::create_organization)
        .service(platform::show_organization::show_organization)
        .service(platform::suspend_organization::suspend_organization)
        .service(platform::resume_organization::resume_organization)
        .service(platform::delete_organization::delete_organization)
        .service(platform::list_users::list_users)
        .service(platform::create_user::create_user)
        .service(platform::show_user::show_user)
        .service(platform::update_user::update_user)
        .service(platform::disable_user::disable_user)
        .service(platform::enable_user::enable_user)
        .service(platform::create_password_link::create_password_link)
        .service(platform::publish_model::publish_model)
        .service(platform::unpublish_model::unpublish_model);
}
