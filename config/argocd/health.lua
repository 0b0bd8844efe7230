-- The health of a MigrationPlan, for Argo CD.
--
-- Degraded ends a sync at once, and Argo CD may then retry on top of what still runs. So Degraded is said only when nothing
-- moves any more without a person (Stalled); a way back that is being walked is Progressing. The object may be deleting: a
-- hook is asked for its health then too, so deletion is nothing special here.

-- Reasons of Reconciling that wait for a person or a time, not for work.
local waits = {AwaitingApproval = true, AwaitingPerson = true, AwaitingWindow = true, Paused = true}

local status = obj.status or {}
local generation = obj.metadata.generation

-- A condition counts for the generation it was computed from; an older one speaks about the plan before the last edit.
local function condition(kind)
  for _, it in ipairs(status.conditions or {}) do
    if it.type == kind and it.status == "True" and it.observedGeneration == generation then
      return it
    end
  end
end

local function health(name, it)
  return {status = name, message = it.reason .. ": " .. (it.message or "")}
end

-- A plan that the operator has not seen yet has observedGeneration -1 by the schema's default.
if status.observedGeneration ~= generation then
  return {status = "Progressing", message = "the operator has not looked at this generation yet"}
end

local stalled = condition("Stalled")
if stalled then
  return health("Degraded", stalled)
end
local ready = condition("Ready")
if ready then
  return health("Healthy", ready)
end
local reconciling = condition("Reconciling")
if reconciling then
  return health(waits[reconciling.reason] and "Suspended" or "Progressing", reconciling)
end
return {status = "Progressing", message = "the operator has not said anything about this generation yet"}
