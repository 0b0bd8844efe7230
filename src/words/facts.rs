//! What the sentences need to know besides the run's own report.

use crate::api::{MigrationPlan, MigrationRun, Stage};

/// A plan, as far as sentences name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanFacts {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its generation now: the newest that was seen.
    pub generation: i64,
    /// `spec.version`.
    pub version: Option<String>,
    /// Stages in walking order with the names of their steps.
    pub stages: Vec<(Stage, Vec<String>)>,
    /// While it is queued: its place among those that wait for the same, and how many these are.
    pub queue: Option<(usize, usize)>,
}

impl PlanFacts {
    /// What the plan itself says.
    pub fn of(plan: &MigrationPlan) -> Self {
        let mut stages: Vec<(Stage, Vec<String>)> = Vec::new();
        for (stage, step) in plan.spec.steps() {
            match stages.last_mut() {
                Some((last, steps)) if *last == stage => steps.push(step.name.clone()),
                _ => stages.push((stage, vec![step.name.clone()])),
            }
        }
        Self {
            namespace: plan.metadata.namespace.clone().unwrap_or_default(),
            name: plan.metadata.name.clone().unwrap_or_default(),
            generation: plan.metadata.generation.unwrap_or_default(),
            version: plan.spec.version.clone(),
            stages,
            queue: None,
        }
    }

    /// The stage that a step stands in.
    pub fn stage_of(&self, step: &str) -> Option<Stage> {
        self.stages.iter().find(|(_, steps)| steps.iter().any(|name| name == step)).map(|(stage, _)| *stage)
    }
}

/// A run, as far as sentences name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFacts {
    /// Its name.
    pub name: String,
    /// Its number.
    pub number: i64,
    /// The plan's generation that it runs.
    pub plan_generation: i64,
    /// The generation of the run object itself.
    pub generation: i64,
    /// What is meant.
    pub intent_hash: String,
}

impl RunFacts {
    /// What the run's object says.
    pub fn of(run: &MigrationRun) -> Self {
        Self {
            name: run.metadata.name.clone().unwrap_or_default(),
            number: run.spec.number,
            plan_generation: run.spec.plan.generation,
            generation: run.metadata.generation.unwrap_or_default(),
            intent_hash: run.spec.intent_hash.clone(),
        }
    }
}
