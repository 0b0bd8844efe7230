{{/* Names and labels. The release's name, with the chart's in it. 45: the longest suffix still fits into 63. */}}
{{- define "whimbrel.fullname" -}}
{{- $name := ternary .Release.Name (printf "%s-whimbrel" .Release.Name) (contains "whimbrel" .Release.Name) -}}
{{- $name | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{/* Roles and policies of the whole cluster carry the namespace, so that two releases of one name do not meet. */}}
{{- define "whimbrel.clusterName" -}}
{{- printf "%s:%s" .Release.Namespace (include "whimbrel.fullname" .) -}}
{{- end -}}

{{- define "whimbrel.selector" -}}
app.kubernetes.io/name: whimbrel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "whimbrel.labels" -}}
{{ include "whimbrel.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "whimbrel.account" -}}
{{- $name := default (printf "%s-operator" (include "whimbrel.fullname" .)) .Values.serviceAccount.name -}}
{{- if eq $name .Values.defaultServiceAccount -}}
{{- fail (printf "serviceAccount.name and defaultServiceAccount are both %q: a plan in namespace %s would act as the operator itself; give one of them another name" $name .Release.Namespace) -}}
{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "whimbrel.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end -}}

{{- define "whimbrel.hmacSecret" -}}
{{- default (printf "%s-hmac-key" (include "whimbrel.fullname" .)) .Values.hmacKey.existingSecret -}}
{{- end -}}

{{/* The profile "restricted" of Pod Security, for the operator and the uninstall check. */}}
{{- define "whimbrel.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "whimbrel.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The Roles of a kind: `whimbrel.bound` renders a ClusterRole and its binding, or one Role and binding per namespace.
     Takes root, name (suffix), namespaces (empty: the whole cluster), rules (the name of a template). */}}
{{- define "whimbrel.bound" -}}
{{- $root := .root -}}
{{- $rules := .rules -}}
{{- $account := include "whimbrel.account" $root -}}
{{- if not .namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "whimbrel.clusterName" $root }}-{{ .name }}
  labels:
    {{- include "whimbrel.labels" $root | nindent 4 }}
rules:
  {{- include $rules $root }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "whimbrel.clusterName" $root }}-{{ .name }}
  labels:
    {{- include "whimbrel.labels" $root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "{{ include "whimbrel.clusterName" $root }}-{{ .name }}"}
subjects:
  - {kind: ServiceAccount, name: {{ $account }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- $name := printf "%s-%s" (include "whimbrel.fullname" $root) .name }}
{{- range .namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels:
    {{- include "whimbrel.labels" $root | nindent 4 }}
rules:
  {{- include $rules $root }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ $name }}
  namespace: {{ . }}
  labels:
    {{- include "whimbrel.labels" $root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ $name }}}
subjects:
  - {kind: ServiceAccount, name: {{ $account }}, namespace: {{ $root.Release.Namespace }}}
{{- end }}
{{- end -}}
