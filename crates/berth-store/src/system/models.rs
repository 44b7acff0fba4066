//! Models, as operators of the platform see them.

use berth_domain::clock::Timestamp;
use berth_domain::id::ModelId;
use sqlx::PgConnection;

use crate::error::{Error, at_most_one_row};
use crate::models::{Model, ModelRow};

/// Every model, inside a transaction.
pub struct Models<'t>(pub(crate) &'t mut PgConnection);

impl Models<'_> {
    /// The model; a deleted one is not found.
    pub async fn show(&mut self, model: ModelId) -> Result<Option<Model>, Error> {
        sqlx::query_as!(
            ModelRow,
            r#"SELECT model_id, organization_id, project_id, name, title, description, license, visibility,
                published_at IS NOT NULL AS "published!", last_number, created_by_user_id, created_by_key_id, created_at
            FROM models
            WHERE model_id = $1 AND deleted_at IS NULL"#,
            model.as_uuid(),
        )
        .fetch_optional(&mut *self.0)
        .await?
        .map(Model::try_from)
        .transpose()
    }

    /// Lets every organization see the model and call its deployments. Answers whether there is such a model.
    pub async fn publish(&mut self, model: ModelId, now: Timestamp) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE models
            SET published_at = COALESCE(published_at, $2)
            WHERE model_id = $1 AND deleted_at IS NULL",
            model.as_uuid(),
            now,
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("models", done.rows_affected())
    }

    /// Takes that back: the model is what its organization made it again. Answers whether there is such a model.
    pub async fn unpublish(&mut self, model: ModelId) -> Result<bool, Error> {
        let done = sqlx::query!(
            "UPDATE models
            SET published_at = NULL
            WHERE model_id = $1 AND deleted_at IS NULL",
            model.as_uuid(),
        )
        .execute(&mut *self.0)
        .await?;
        at_most_one_row("models", done.rows_affected())
    }
}
