//! Rules that every table, function and reference keeps, read from the catalog.

use anyhow::Result;
use sqlx::{Connection as _, PgConnection};

use crate::world::World;

async fn names(statement: &'static str) -> Result<Vec<String>> {
    let world = World::new().await?;
    let mut connection = PgConnection::connect(&world.database.owner_url()).await?;
    Ok(sqlx::query_scalar(statement).fetch_all(&mut connection).await?)
}

#[tokio::test]
async fn nothing_is_granted_to_everybody() -> Result<()> {
    let open = names(
        "SELECT relname::text
        FROM pg_class, aclexplode(COALESCE(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner)))
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S') AND grantee = 0
        UNION ALL
        SELECT proname::text
        FROM pg_proc, aclexplode(COALESCE(proacl, acldefault('f', proowner)))
        WHERE pronamespace = 'public'::regnamespace AND grantee = 0
        UNION ALL
        SELECT nspname::text
        FROM pg_namespace, aclexplode(nspacl)
        WHERE nspname = 'public' AND grantee = 0
        UNION ALL
        SELECT polname::text
        FROM pg_policy
        WHERE 0 = ANY(polroles)",
    )
    .await?;
    assert_eq!(open, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn functions_that_run_as_the_owner_pin_their_search_path() -> Result<()> {
    let unpinned = names(
        "SELECT proname::text
        FROM pg_proc
        WHERE pronamespace = 'public'::regnamespace
            AND prosecdef
            AND NOT COALESCE('search_path=pg_catalog, public, pg_temp' = ANY(proconfig), false)",
    )
    .await?;
    assert_eq!(unpinned, Vec::<String>::new());
    let pinned =
        names("SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND prosecdef")
            .await?;
    assert!(
        pinned.contains(&"find_api_key".to_owned()),
        "the search found only {pinned:?}"
    );
    Ok(())
}

#[tokio::test]
async fn references_between_tables_of_tenants_carry_the_organization() -> Result<()> {
    // With it, a row cannot point into another organization. References to the organization itself are it.
    let loose = names(
        "WITH tenant AS (
            SELECT attrelid, attnum
            FROM pg_attribute
            WHERE attname = 'organization_id' AND NOT attisdropped
        )
        SELECT conname::text
        FROM pg_constraint
        JOIN tenant AS source ON source.attrelid = conrelid
        JOIN tenant AS target ON target.attrelid = confrelid
        WHERE contype = 'f'
            AND connamespace = 'public'::regnamespace
            AND NOT (source.attnum = ANY(conkey) AND target.attnum = ANY(confkey))",
    )
    .await?;
    assert_eq!(loose, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn every_reference_can_be_followed_back_by_an_index() -> Result<()> {
    // Deleting or looking up from the other side would read the whole table otherwise. References to who made a thing and
    // to the organization alone are never followed back.
    let missing = names(
        "SELECT conname::text
        FROM pg_constraint
        WHERE contype = 'f'
            AND connamespace = 'public'::regnamespace
            AND conname NOT LIKE '%created_by%'
            AND conname NOT LIKE '%invited_by%'
            AND confrelid <> 'organizations'::regclass
            AND NOT EXISTS (
                SELECT FROM pg_index
                WHERE indrelid = conrelid
                    AND (string_to_array(indkey::text, ' ')::smallint[])[1:1] <@ conkey
                    AND (
                        (string_to_array(indkey::text, ' ')::smallint[])[1:cardinality(conkey)] <@ conkey
                        OR (string_to_array(indkey::text, ' ')::smallint[])[1] = conkey[cardinality(conkey)]
                    )
            )
        ORDER BY conname",
    )
    .await?;
    assert_eq!(missing, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn constraints_and_indexes_have_chosen_names() -> Result<()> {
    // Names that Postgres makes up on a collision end in a number; errors are told apart by name.
    let made_up = names(
        "SELECT conname::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conname ~ '[0-9]$'
        UNION ALL
        SELECT relname::text FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'i' AND relname ~ '[0-9]$'",
    )
    .await?;
    assert_eq!(made_up, Vec::<String>::new());
    Ok(())
}
