//! One act on its scene: from its base, struck or not, to what the world is after it.

use crate::act::{ACTS, Act, Base, Then};
use crate::cluster::{Objects, apply, objects};
use crate::kubectl;
use crate::lane::{CHECKOUT, Lane, Operator};
use crate::scene::{On, Scene};
use crate::spent::{Part, Spent};
use crate::state::State;
use crate::visit::Visit;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A run that has not ended by then hangs.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// How long everything else may take.
pub(crate) const DONE_WITHIN: Duration = Duration::from_secs(120);

/// The name of the plan in all acts.
pub(crate) const PLAN: &str = "platform";

/// Walks acts on one scene.
pub(crate) struct Walker {
    scene: Box<dyn Scene>,
    upgraded: bool,
    /// Who gives the verbs.
    me: String,
    /// Where the time went.
    pub(crate) spent: Spent,
}

impl Walker {
    /// With a scene of its own, of this number.
    pub(crate) fn set_up(on: On, number: usize) -> Self {
        let scene = on.set_up(number);
        let me = kubectl::run(&["auth", "whoami", "--output=jsonpath={.status.userInfo.username}"]);
        Self { scene, upgraded: false, me, spent: Spent::default() }
    }

    /// Walks one act from its base to its end. `Err`: it did not end, or could not be read.
    pub(crate) fn walk(&mut self, act: &Act, visit: Option<&Visit>) -> Result<State, String> {
        if act.base == Base::Upgraded && !self.upgraded {
            let first = &ACTS[0];
            self.walk(first, None).map_err(|why| format!("{}, to have its base: {why}", first.name))?;
        }
        self.spent.begin();
        self.forget_plans();
        self.scene.reset(act.base)?;
        self.spent.end(Part::Reset);
        let fault = visit.map(|visit| format!("{}@{}", visit.mode, visit.point));
        let operator = Operator::start(&self.lane().settings, fault.as_deref());
        let ended = self.play(act);
        drop(operator);
        self.spent.end(Part::Stop);
        ended?;
        let state = self.state()?;
        self.spent.end(Part::State);
        if visit.is_none() && act.name == ACTS[0].name && !self.upgraded {
            self.scene.keep(Base::Upgraded);
            self.upgraded = true;
        }
        Ok(state)
    }

    fn play(&mut self, act: &Act) -> Result<(), String> {
        let (target, file) = self.scene.target();
        apply(&file, |_| true);
        let ready = |target: &Value| has(target, "Ready", "True");
        self.until("DatabaseTarget", target, DONE_WITHIN, ready)?;
        self.spent.end(Part::Start);
        apply(&act.hastened(&self.scene.file(act)), |_| true);
        self.until("MigrationPlan", PLAN, ENDS_WITHIN, |plan| has(plan, "Finished", "True"))?;
        match act.then {
            Then::Nothing => {}
            Then::AcceptsLoss => {
                self.until("MigrationPlan", PLAN, DONE_WITHIN, phase("Held"))?;
                let accepted =
                    format!("{} until=2999-01-01T00:00:00Z why=crash test by {}", self.run(), self.me);
                self.say("override.data-loss", &accepted);
                self.until("MigrationPlan", PLAN, ENDS_WITHIN, phase("RolledBack"))?;
            }
            Then::RollsBack => {
                self.until("MigrationPlan", PLAN, DONE_WITHIN, phase("Succeeded"))?;
                self.say("rollback", &format!("{} by {}", self.run(), self.me));
                self.until("MigrationPlan", PLAN, ENDS_WITHIN, phase("RolledBack"))?;
            }
        }
        self.spent.end(Part::Act);
        Ok(())
    }

    fn lane(&self) -> &Lane {
        self.scene.lane()
    }

    /// The number of the plan's newest run.
    fn run(&self) -> Value {
        self.objects("MigrationPlan").get(PLAN)["status"]["run"]["number"].clone()
    }

    /// Gives a verb.
    fn say(&self, verb: &str, value: &str) {
        let annotations = json!({ format!("whimbrel.dev/{verb}"): value });
        self.objects("MigrationPlan").merge(PLAN, &json!({"metadata": {"annotations": annotations}}));
    }

    /// Watches an object of the plan's namespace until it is so; the error says how it was in the end.
    fn until(
        &self,
        kind: &str,
        name: &str,
        within: Duration,
        is_so: impl Fn(&Value) -> bool,
    ) -> Result<(), String> {
        let waited = self.objects(kind).until(name, within, is_so);
        waited.map_err(|last| {
            let status = &last["status"];
            format!(
                "after {} s {kind} {name} says {}: {}",
                within.as_secs(),
                status["phase"],
                status["message"]
            )
        })
    }

    fn objects(&self, kind: &str) -> Objects {
        objects(kind, &self.lane().name)
    }

    /// The names of the points that the operator passed, in order.
    pub(crate) fn points(&self) -> Vec<String> {
        let text = fs::read_to_string(self.lane().settings.notes().join("points")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The point that was struck, if the run came to it.
    pub(crate) fn struck(&self) -> Option<String> {
        let struck = self.lane().settings.notes().join("struck");
        fs::read_to_string(struck).ok().map(|text| text.trim().to_owned())
    }

    /// Removes plans, runs and targets, whoever still holds them, and the claims. No operator runs.
    fn forget_plans(&self) {
        for kind in ["MigrationPlan", "MigrationRun", "DatabaseTarget"] {
            self.objects(kind).remove_all();
        }
        objects("Lease", &self.lane().settings.namespace).remove_all();
    }

    /// All that must be as in the undisturbed run.
    fn state(&self) -> Result<State, String> {
        let mut facts = self.scene.facts()?;
        facts.insert("leases".to_owned(), self.holders());
        facts.insert("jobs".to_owned(), self.active_jobs());
        let plan = self.objects("MigrationPlan").get(PLAN);
        let finished = condition(&plan, "Finished").cloned().unwrap_or_default();
        Ok(State { reason: finished["reason"].as_str().unwrap_or_default().to_owned(), facts })
    }

    /// Who still holds a target.
    fn holders(&self) -> String {
        let leases = objects("Lease", &self.lane().settings.namespace).list();
        let held = leases.iter().filter_map(|lease| {
            let name = lease["metadata"]["name"].as_str().filter(|name| name.starts_with("wb-"))?;
            let holder = lease["spec"]["holderIdentity"].as_str().filter(|holder| !holder.is_empty())?;
            Some(format!("{name}={holder}"))
        });
        held.collect::<Vec<_>>().join(" ")
    }

    /// Jobs of ours that go on working. One whose worker has ended says so a moment later.
    fn active_jobs(&self) -> String {
        let since = Instant::now();
        loop {
            let jobs = self.objects("Job").list();
            let active = jobs.iter().filter(|job| job["status"]["active"].as_i64().unwrap_or(0) > 0);
            let active = active.map(|job| job["metadata"]["name"].to_string()).collect::<Vec<_>>().join(" ");
            if active.is_empty() || since.elapsed() > DONE_WITHIN {
                return active;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Keeps what explains a violation, and makes the lane fit for the next visit; the folder's path.
    pub(crate) fn keep(&self, visit: &Visit) -> String {
        let folder = Path::new(CHECKOUT).join("target/crash").join(visit.to_string().replace(' ', "-"));
        fs::create_dir_all(&folder).expect("the target folder can be written");
        let settings = &self.lane().settings;
        for (name, from) in [("operator.log", settings.log()), ("points", settings.notes().join("points"))] {
            // What is not there explains nothing.
            let _ = fs::copy(from, folder.join(name));
        }
        for (name, what, form) in [
            ("records.yaml", "mplan,mrun,dbt", "--output=yaml"),
            ("workloads.yaml", "deployments,cronjobs,jobs,pods,configmaps", "--output=yaml"),
            ("events.txt", "events", "--output=wide"),
        ] {
            let shown = self.lane().try_kubectl(&["get", what, form]).unwrap_or_else(|said| said);
            fs::write(folder.join(name), shown).expect("the target folder can be written");
        }
        self.scene.scrub();
        folder.display().to_string()
    }
}

/// Whether a plan is in a phase.
fn phase(wanted: &'static str) -> impl Fn(&Value) -> bool {
    move |plan: &Value| plan["status"]["phase"] == wanted
}

fn condition<'o>(object: &'o Value, kind: &str) -> Option<&'o Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Whether a condition stands, said of the newest generation.
fn has(object: &Value, kind: &str, status: &str) -> bool {
    condition(object, kind).is_some_and(|found| {
        found["status"] == status && found["observedGeneration"] == object["metadata"]["generation"]
    })
}
