//! A platform's own migration guide, its scenarios run as scripts: new fields and then a constraint, statuses that change,
//! relationships that get properties or another type, copy, verify and delete, duplicates, missing nodes.

use whimbrel::engine::{Claim, Session};

use crate::bed::{Bed, HISTORY, count, rows, scripts};

async fn apply(bed: &Bed, files: &[(&str, &str)]) {
    let mut session = bed.enter(1).await;
    for script in scripts(files) {
        session.apply(HISTORY, &script).await.unwrap_or_else(|failure| panic!("{}: {failure}", script.file));
    }
    session.leave(Claim::GiveUp).await.expect("leaves");
}

#[tokio::test]
async fn fields_and_then_a_constraint() {
    let bed = Bed::new().await;
    rows("UNWIND range(1, 50) AS id CREATE (:User {id: id})");
    apply(&bed, &[
        (
            "V001__tenant_ids.cypher",
            "// Add fields to existing User nodes\nMATCH (u:User)\nWHERE u.personal_tenant_id IS NULL\n\
             SET u.personal_tenant_id = 'tenant_' + toString(timestamp()) + '_' + elementId(u),\n\
             \x20   u.personal_space_id = 'space_' + toString(timestamp()) + '_' + elementId(u);\n",
        ),
        (
            "V002__tenant_unique.cypher",
            "// assert q' MATCH (u:User) WITH u.personal_tenant_id AS t, count(u) AS c WHERE c > 1 RETURN count(t) = 0\n\
             CREATE CONSTRAINT user_tenant_unique IF NOT EXISTS\nFOR (u:User) REQUIRE u.personal_tenant_id IS UNIQUE;\n",
        ),
    ])
    .await;
    assert_eq!(count("MATCH (u:User) WHERE u.personal_space_id STARTS WITH 'space_' RETURN count(u)"), 50);
    assert_eq!(count("SHOW CONSTRAINTS YIELD name WHERE name = 'user_tenant_unique' RETURN count(*)"), 1);
}

#[tokio::test]
async fn statuses_and_metadata() {
    let bed = Bed::new().await;
    rows(
        "UNWIND range(1, 30) AS id CREATE (:Document {id: id, status: CASE WHEN id % 3 = 0 THEN 'processed' ELSE 'new' END})",
    );
    apply(&bed, &[
        (
            "2026-01-06-001-map-status.cypher",
            "// Update documents from old \"processed\" to new \"completed\" status\nMATCH (d:Document)\nWHERE d.status = 'processed'\n\
             SET d.status = 'completed',\n    d.migrated_at = datetime(),\n    d.migration_version = '2.0';\n",
        ),
        (
            "2026-01-06-002-metadata.cypher",
            "MATCH (d:Document)\nWHERE d.processing_time IS NULL\nSET d.processing_time = 0,\n    d.confidence_score = 0.0;\n",
        ),
    ])
    .await;
    assert_eq!(
        count(
            "MATCH (d:Document {status: 'completed', migration_version: '2.0', processing_time: 0}) RETURN count(d)"
        ),
        10
    );
}

#[tokio::test]
async fn relationships_get_properties_and_another_type() {
    let bed = Bed::new().await;
    rows(
        "CREATE (u:User {id: 1}), (n:Notebook {created_at: 5})-[:OWNED_BY]->(u), (:Document {id: 1})-[:BELONGS_TO_NOTEBOOK {created_at: 7, order_index: 3}]->(n)",
    );
    apply(&bed, &[
        (
            "V001__owned_by.cypher",
            "MATCH (n:Notebook)-[r:OWNED_BY]->(u:User)\nWHERE r.created_at IS NULL\nSET r.created_at = n.created_at,\n    r.ownership_type = 'personal';\n",
        ),
        (
            "V002__belongs_to.cypher",
            "// Replace old relationship with new one\nMATCH (d:Document)-[old:BELONGS_TO_NOTEBOOK]->(n:Notebook)\n\
             CREATE (d)-[new:BELONGS_TO {\n    created_at: old.created_at,\n    order_index: old.order_index\n}]->(n)\nDELETE old;\n",
        ),
    ])
    .await;
    assert_eq!(
        count(
            "MATCH (:Notebook)-[r:OWNED_BY {created_at: 5, ownership_type: 'personal'}]->() RETURN count(r)"
        ),
        1
    );
    assert_eq!(
        count(
            "MATCH (:Document)-[r:BELONGS_TO {created_at: 7, order_index: 3}]->(:Notebook) RETURN count(r)"
        ),
        1
    );
    assert_eq!(count("MATCH ()-[r:BELONGS_TO_NOTEBOOK]->() RETURN count(r)"), 0);
}

#[tokio::test]
async fn copy_verify_delete() {
    let bed = Bed::new().await;
    rows("UNWIND range(1, 500) AS id CREATE (:OldNodeType {id: id, name: 'n' + id})");
    apply(&bed, &[
        (
            "V001__copy.cypher",
            "MATCH (old:OldNodeType)\nCREATE (new:NewNodeType)\nSET new = properties(old),\n    new.migrated_from = old.id,\n    new.migration_timestamp = datetime();\n",
        ),
        (
            "V002__delete.cypher",
            "// assert q' MATCH (old:OldNodeType) WHERE NOT EXISTS { (:NewNodeType {migrated_from: old.id}) } RETURN count(old) = 0\n\
             MATCH (old:OldNodeType)\nWHERE EXISTS { (:NewNodeType {migrated_from: old.id}) }\nDETACH DELETE old;\n",
        ),
    ])
    .await;
    assert_eq!(count("MATCH (new:NewNodeType) WHERE new.name = 'n' + new.id RETURN count(new)"), 500);
    assert_eq!(count("MATCH (old:OldNodeType) RETURN count(old)"), 0);
}

#[tokio::test]
async fn duplicates_are_told_apart_and_missing_nodes_made() {
    let bed = Bed::new().await;
    rows(
        "UNWIND range(1, 4) AS id CREATE (:User {id: id, username: 'u' + id, created_at: id, personal_tenant_id: 'tenant_12345', personal_space_id: 'space_' + id})",
    );
    apply(&bed, &[
        (
            "V001__regenerate.cypher",
            "// Fix by regenerating for all but first user\nMATCH (u:User)\nWHERE u.personal_tenant_id = 'tenant_12345'\nWITH u ORDER BY u.created_at\n\
             WITH collect(u) AS users\nUNWIND range(1, size(users)-1) AS idx\nWITH users[idx] AS user_to_fix, idx\n\
             SET user_to_fix.personal_tenant_id = 'tenant_' + toString(timestamp()) + toString(idx),\n\
             \x20   user_to_fix.personal_space_id = 'space_' + toString(timestamp()) + toString(idx);\n",
        ),
        ("V002__unique.cypher", "CREATE CONSTRAINT user_tenant_unique FOR (u:User) REQUIRE u.personal_tenant_id IS UNIQUE;\n"),
        (
            "V003__spaces.cypher",
            "// Create missing Space nodes\nMATCH (u:User)\nWHERE u.personal_space_id IS NOT NULL\nAND NOT EXISTS { (:Space {id: u.personal_space_id}) }\n\
             CREATE (:Space {\n    id: u.personal_space_id,\n    name: u.username + \"'s Personal Space\",\n    type: 'personal',\n    tenant_id: u.personal_tenant_id,\n\
             \x20   created_at: u.created_at,\n    is_default: true\n});\n",
        ),
    ])
    .await;
    assert_eq!(count("MATCH (u:User) RETURN count(DISTINCT u.personal_tenant_id)"), 4);
    assert_eq!(count("MATCH (s:Space {name: \"u1's Personal Space\", is_default: true}) RETURN count(s)"), 1);
    assert_eq!(
        count(
            "MATCH (u:User), (s:Space {id: u.personal_space_id, tenant_id: u.personal_tenant_id}) RETURN count(s)"
        ),
        4
    );
}
