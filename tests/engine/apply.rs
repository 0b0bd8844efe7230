//! Scripts in, one message each.

use whimbrel::engine::{Claim, Engine, Session};

use crate::bed::{As, Bed, HISTORY, scripts};

#[tokio::test]
async fn scripts_leave_their_effect_and_one_row_each() {
    for who in [As::Superuser, As::Owner] {
        let bed = Bed::new(who);
        let mut session = bed.enter(1).await;
        for script in scripts(&[
            (
                "V1__users.sql",
                "CREATE TABLE users (id int PRIMARY KEY);\nINSERT INTO users VALUES (1), (2);\n",
            ),
            ("V2__tags.sql", "ALTER TABLE users ADD tag text DEFAULT 'ü'"),
        ]) {
            let row = session.apply(HISTORY, &script).await.expect("applies");
            assert_eq!(row.key, script.key);
        }
        let keys: Vec<_> =
            session.histories()[HISTORY].iter().map(|row| (row.key.as_str(), row.installed_rank)).collect();
        assert_eq!(keys, [("1", 1), ("2", 2)]);
        session.leave(Claim::Keep).await.expect("leaves");

        assert_eq!(bed.psql("SELECT count(*), min(tag) FROM users"), "2|ü");
        assert_eq!(bed.applied(), "1 2");
        assert_eq!(bed.psql("SELECT DISTINCT state FROM whimbrel.journal"), "Applied");
        let look = bed.engine().look().await.expect("looks");
        assert_eq!(look.histories[HISTORY].len(), 2);
        assert_eq!(look.claim.expect("kept").token, 1);
    }
}
