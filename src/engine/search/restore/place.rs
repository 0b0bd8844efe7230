//! The copies in the place of what was there, by name or by alias. Everything that is deleted here has a clone that was
//! counted.

use http::Method;
use serde_json::{Value, json};

use super::names::{aside, base, copy, standin};
use super::note::{Copied, Note};
use super::seen::{All, Seen};
use super::swap::{Swap, in_the_way};
use crate::engine::EngineError;
use crate::engine::search::settings::Names;

/// The index that a copy becomes.
fn place(names: Names, note: &Note, index: &str, copied: &Copied) -> String {
    match names {
        Names::Concrete => index.to_owned(),
        Names::Alias => standin(note.run, known_as(index, copied)),
    }
}

fn known_as<'a>(index: &'a str, copied: &Copied) -> &'a str {
    base(index, |alias| copied.aliases.contains_key(alias))
}

/// What one call asks for: everything that goes is gone, and everything that comes is there, at once.
fn exchange(note: &Note, there: &All) -> Vec<Value> {
    let is_there = |(index, aside): &(&String, &super::note::Aside)| {
        there.get(*index).is_some_and(|seen| seen.uuid == aside.uuid)
    };
    let go = note.aside.iter().filter(is_there).map(|(index, _)| json!({"remove_index": {"index": index}}));
    let come = note.copies.iter().flat_map(|(index, copied)| {
        let place = place(Names::Alias, note, index, copied);
        let known = known_as(index, copied);
        let name =
            (!copied.aliases.contains_key(known)).then(|| json!({"add": {"index": place, "alias": known}}));
        let aliases = copied.aliases.iter().map({
            let place = place.clone();
            move |(alias, how)| {
                let mut add = how.as_object().cloned().unwrap_or_default();
                add.insert("index".to_owned(), json!(place));
                add.insert("alias".to_owned(), json!(alias));
                json!({"add": add})
            }
        });
        name.into_iter().chain(aliases).collect::<Vec<_>>()
    });
    go.chain(come).collect()
}

impl Swap<'_> {
    fn names(&self) -> Names {
        self.client.settings.names
    }

    /// A name that a copy needs and that something has which does not go aside.
    pub(super) async fn taken(&self, going: &All) -> Result<Option<String>, EngineError> {
        let answer = self.client.expect(self.client.read("/_alias?expand_wildcards=all").await)?;
        let all = answer.body.as_object().cloned().unwrap_or_default();
        let stays: Vec<(&String, &Value)> =
            all.iter().filter(|(index, _)| !going.contains_key(*index)).collect();
        for (index, copied) in &self.note.copies {
            let place = place(self.names(), &self.note, index, copied);
            for name in [place.as_str(), known_as(index, copied)] {
                if let Some((holder, _)) = stays.iter().find(|(_, of)| of["aliases"].get(name).is_some()) {
                    return Ok(Some(format!(
                        "the name {name} is an alias of index {holder}, which does not belong to the target: take it off"
                    )));
                }
            }
            if self.names() == Names::Alias && all.contains_key(&place) && *index != place {
                return Ok(Some(in_the_way(&place)));
            }
        }
        let mut aside_names = going.keys().map(|index| aside(self.note.run, index));
        Ok(aside_names.find(|name| all.contains_key(name)).map(|name| in_the_way(&name)))
    }

    /// Puts every copy in its place.
    pub(super) async fn place(&self) -> Result<(), EngineError> {
        self.refuse_without_copies().await?;
        if self.names() == Names::Concrete {
            for (index, aside) in &self.note.aside {
                self.delete("make room for a copy", index, &aside.uuid).await?;
            }
        }
        for (index, copied) in &self.note.copies {
            self.become_one(index, copied).await?;
        }
        if self.names() == Names::Alias {
            self.exchange().await?;
        }
        Ok(())
    }

    /// Nothing is deleted for a copy, or because of a clone, that is gone.
    async fn refuse_without_copies(&self) -> Result<(), EngineError> {
        let note = &self.note;
        let copies = self.client.copies_of(note.run).await?;
        let gone = note
            .copies
            .iter()
            .map(|(index, copied)| (copy(note.run, index), copied))
            .find(|(name, copied)| copies.get(name).is_none_or(|seen| seen.uuid != copied.uuid));
        if let Some((name, _)) = gone {
            return self.refuse(format!(
                "the copy {name} is gone. Restore from snapshot {} by hand; what was there is kept under names that begin with wb-broken-",
                note.path
            ));
        }
        for (index, of) in &note.aside {
            let name = aside(note.run, index);
            let kept = self.client.seen(&name).await?;
            if kept.get(&name).is_none_or(|seen| seen.clone_of() != of.uuid) {
                return self.refuse(format!(
                    "the clone {name}, under which index {index} was kept, is gone: see who works in it"
                ));
            }
        }
        Ok(())
    }

    /// Clones a copy to its place, with the aliases that it had where they are not given by the exchange.
    async fn become_one(&self, index: &str, copied: &Copied) -> Result<(), EngineError> {
        let (from, to) = (copy(self.note.run, index), place(self.names(), &self.note, index, copied));
        let there = self.client.seen(&to).await?;
        match there.get(&to) {
            Some(seen) if seen.clone_of() == copied.uuid => self.client.until_whole(&to, 1).await?,
            Some(_) => {
                return self.refuse(format!(
                    "somebody has made index {to} meanwhile, where the restored one belongs. Delete it, and it goes on"
                ));
            }
            None => {
                let source = self.client.seen(&from).await?;
                let settings = source.get(&from).map(Seen::copies).unwrap_or_default();
                let aliases = match self.names() {
                    Names::Concrete => json!(copied.aliases),
                    Names::Alias => json!({}),
                };
                let body = json!({"settings": settings, "aliases": aliases});
                self.clone_index("put a copy in its place", &from, &to, body).await?;
            }
        }
        let has = self.count(&to).await?;
        if has != Some(copied.documents) {
            return self.refuse(format!(
                "index {to} has {} documents after it was restored, its snapshot has {}",
                has.unwrap_or_default(),
                copied.documents
            ));
        }
        if !copied.blocked && self.client.seen(&to).await?.get(&to).is_some_and(Seen::is_blocked) {
            self.set("open a restored index", &to, json!({"index.blocks.write": null})).await?;
        }
        Ok(())
    }

    /// The server does all of it or nothing; said twice it is the same.
    async fn exchange(&self) -> Result<(), EngineError> {
        let there = self.going().await?;
        let actions = exchange(&self.note, &there);
        if actions.is_empty() {
            return Ok(());
        }
        self.effect("exchange the indices", Method::POST, "/_aliases", json!({"actions": actions})).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::note::Aside;
    use super::*;

    #[test]
    fn one_call_for_all_that_goes_and_comes() {
        let mut note = Note::new("uid", 9, 3, "backups/s", "sha");
        let copied = |aliases: Value| Copied {
            uuid: "c".to_owned(),
            documents: 1,
            blocked: false,
            aliases: aliases.as_object().cloned().unwrap_or_default(),
        };
        note.copies.insert("a".to_owned(), copied(json!({"live": {"is_write_index": true}})));
        note.copies.insert("b-wb-7".to_owned(), copied(json!({"b": {}})));
        let of = |uuid: &str| Aside { uuid: uuid.to_owned(), blocked: false };
        note.aside = [("a", "1"), ("new", "2"), ("b-wb-7", "3")]
            .map(|(index, uuid)| (index.to_owned(), of(uuid)))
            .into();
        let seen = |uuid: &str| Seen { uuid: uuid.to_owned(), ..Seen::default() };
        let there = [("a".to_owned(), seen("1")), ("new".to_owned(), seen("another"))].into();
        assert_eq!(
            json!(exchange(&note, &there)),
            json!([
                {"remove_index": {"index": "a"}},
                {"add": {"index": "a-wb-9", "alias": "a"}},
                {"add": {"index": "a-wb-9", "alias": "live", "is_write_index": true}},
                {"add": {"index": "b-wb-9", "alias": "b"}},
            ])
        );
        assert_eq!(place(Names::Concrete, &note, "a", &note.copies["a"]), "a");
    }
}
