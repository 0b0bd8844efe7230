//! The same in a bucket: objects instead of files, and uploads that were begun and never ended.
//!
//! A bucket has no rename. The manifest is copied under the other name first and then deleted: a reader finds one of them or
//! both at every moment, and takes it for a backup only while the first is there, whose deletion ends that at once.

use super::{
    BackupError,
    attempt::{NOTE, Note, UPLOAD, UploadNote},
    bucket::{Bucket, Object},
    manifest::{DATA, FILE_NAME},
    prune::{DELETED, Found, NAMED, Prune, Pruned, SENTENCE, Told, meant, place},
    storage::LONGEST_MANIFEST,
};
use crate::api::bounds::cut;
use std::collections::BTreeMap;

/// Deletes.
pub(super) async fn prune(bucket: &Bucket, prune: &Prune) -> Result<Pruned, BackupError> {
    // A bucket that is not there, or refuses us, is an error and not an empty one.
    let all = bucket.list("").await?;
    let mut pruned = Pruned::default();
    for told in &prune.told {
        pruned.found.push(match delete(bucket, told, &prune.target).await {
            Ok(found) => found,
            Err(refusal) => Found::Refused(cut(&refusal, SENTENCE)),
        });
    }
    sweep(bucket, &all, prune, &mut pruned).await;
    Ok(pruned)
}

/// Deletes one backup, or says why not.
async fn delete(bucket: &Bucket, told: &Told, target: &str) -> Result<Found, String> {
    place(told, target)?;
    let path = &told.path;
    let said = |error: BackupError| error.to_string();
    let objects = bucket.list(path).await.map_err(said)?;
    if objects.is_empty() {
        return Ok(Found::Absent);
    }
    let get = async |name: &str| bucket.get(&format!("{path}/{name}"), LONGEST_MANIFEST).await.map_err(said);
    let (whole, begun) = (get(FILE_NAME).await?, get(DELETED).await?);
    let manifest = match (&whole, &begun) {
        (Some(whole), Some(begun)) if whole != begun => {
            return Err(format!("it has both {FILE_NAME} and {DELETED}, and they differ: look what it is"));
        }
        (Some(manifest), _) | (None, Some(manifest)) => manifest,
        (None, None) => return Err(format!("it has no {FILE_NAME}: nobody can say whose it is")),
    };
    let files = meant(manifest, told, target)?;
    let name = |object: &Object| object.path.strip_prefix(&format!("{path}/")).unwrap_or_default().to_owned();
    let beside = [FILE_NAME, DELETED, NOTE, UPLOAD];
    let foreign =
        |object: &&Object| !beside.contains(&name(object).as_str()) && !files.contains(&name(object));
    if let Some(foreign) = objects.iter().find(foreign) {
        return Err(format!("{} in it does not belong to it", name(foreign)));
    }
    let bytes = objects.iter().filter(|object| name(object) != DELETED).map(|object| object.size).sum();
    let remove = async {
        if begun.is_none() {
            bucket.put(&format!("{path}/{DELETED}"), manifest.clone()).await?;
        }
        bucket.delete(&format!("{path}/{FILE_NAME}")).await?;
        for object in objects.iter().filter(|object| ![FILE_NAME, DELETED].contains(&name(object).as_str())) {
            bucket.delete(&object.path).await?;
        }
        bucket.delete(&format!("{path}/{DELETED}")).await
    };
    let done: Result<(), BackupError> = remove.await;
    done.map_err(|error| format!("it could not be deleted to the end: {error}"))?;
    Ok(Found::Deleted(bytes))
}

/// Deletes the attempts of this target that became no backup and whose run is over.
async fn sweep(bucket: &Bucket, all: &[Object], prune: &Prune, pruned: &mut Pruned) {
    let mut folders = BTreeMap::<String, Vec<(&str, &Object)>>::new();
    for object in all {
        let mut parts = object.path.splitn(4, '/');
        let folder: Vec<&str> = parts.by_ref().take(3).collect();
        if let Some(name) = parts.next() {
            folders.entry(folder.join("/")).or_default().push((name, object));
        }
    }
    for (folder, objects) in folders {
        match sweep_one(bucket, &folder, &objects, prune).await {
            Ok(Some(bytes)) => {
                pruned.attempts += 1;
                pruned.attempts_bytes += bytes;
            }
            Ok(None) => {}
            Err(_) if pruned.left.len() >= NAMED => {}
            Err(why) => pruned.left.push(cut(&format!("{folder}: {why}"), SENTENCE)),
        }
    }
}

/// Deletes an attempt if it is one of ours whose run is over, and gives its bytes.
async fn sweep_one(
    bucket: &Bucket,
    folder: &str,
    objects: &[(&str, &Object)],
    prune: &Prune,
) -> Result<Option<u64>, String> {
    let said = |error: BackupError| error.to_string();
    let has = |name: &str| objects.iter().any(|(it, _)| *it == name);
    let named = folder.rsplit('/').next().is_some_and(|name| name.starts_with(&prune.target));
    if !named || has(FILE_NAME) || has(DELETED) || !has(NOTE) {
        return Ok(None);
    }
    let get =
        async |name: &str| bucket.get(&format!("{folder}/{name}"), LONGEST_MANIFEST).await.map_err(said);
    let Some(note) = get(NOTE).await? else { return Ok(None) };
    let Ok(note) = serde_json::from_slice::<Note>(&note) else { return Ok(None) };
    let over = prune.over.get(&note.of.plan_uid).is_some_and(|first| note.of.run < *first);
    if note.of.target != prune.target || !over {
        return Ok(None);
    }
    let dump = format!("{DATA}/{}", note.file);
    if let Some((foreign, _)) = objects.iter().find(|(name, _)| ![NOTE, UPLOAD, &dump].contains(name)) {
        return Err(format!("{foreign} in it does not belong to it"));
    }
    if let Some(upload) = get(UPLOAD).await? {
        let upload: UploadNote =
            serde_json::from_slice(&upload).map_err(|error| format!("{UPLOAD} can't be read: {error}"))?;
        bucket.abort(&format!("{folder}/{dump}"), &upload.id).await.map_err(said)?;
    }
    // The note last: without it nobody would know whose the rest is.
    for name in [&dump, UPLOAD, NOTE] {
        bucket.delete(&format!("{folder}/{name}")).await.map_err(said)?;
    }
    Ok(Some(objects.iter().map(|(_, object)| object.size).sum()))
}
