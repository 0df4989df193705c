{{/* Names and labels. The name of a release is short enough for what is put behind it. */}}
{{- define "flowcatalyst.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "flowcatalyst.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "flowcatalyst.labels" -}}
{{ include "flowcatalyst.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "flowcatalyst.image" -}}
{{- $repository := required "image.repository is required: where the image of deploy/Dockerfile has been pushed" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" $repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{- define "flowcatalyst.secretName" -}}
{{ .Values.existingSecret | default (include "flowcatalyst.fullname" .) }}
{{- end }}

{{/* What may do nothing but run: not root, no privileges, nothing to write to. */}}
{{- define "flowcatalyst.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "flowcatalyst.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
privileged: false
capabilities:
  drop: [ALL]
{{- end }}

{{/* A variable from the Secret: dict "root" "name" "key" (of secretKeys) */}}
{{- define "flowcatalyst.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ include "flowcatalyst.secretName" .root }}
      key: {{ index .root.Values.secretKeys .key }}
{{- end }}
