# Kubernetes' OpenAPI document as strict JSON schemas: unknown fields are errors, and two types that are written as a
# string or a number accept both.
.definitions
| .["io.k8s.apimachinery.pkg.util.intstr.IntOrString"] = {oneOf: [{type: "string"}, {type: "integer"}]}
| .["io.k8s.apimachinery.pkg.api.resource.Quantity"] = {oneOf: [{type: "string"}, {type: "number"}]}
| map_values(if has("properties") and (has("additionalProperties") | not) then .additionalProperties = false else . end)
| {definitions: .}
