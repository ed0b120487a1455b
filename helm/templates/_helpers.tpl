{{- define "hookline.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "hookline.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{- $name := include "hookline.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "hookline.selectorLabels" -}}
app.kubernetes.io/name: {{ include "hookline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: server
{{- end }}

{{- define "hookline.commonLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/name: {{ include "hookline.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "hookline.labels" -}}
{{ include "hookline.commonLabels" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "hookline.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "hookline.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{- default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "hookline.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end -}}
{{- end }}

{{- define "hookline.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- define "hookline.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* The database: a file of the volume, or the URL in a secret. */}}
{{- define "hookline.databaseEnv" -}}
- name: HOOKLINE_DATABASE
{{- if eq .Values.database.kind "postgres" }}
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.postgres.existingSecret }}
      key: {{ .Values.database.postgres.key }}
{{- else }}
  value: /data/hookline.db
{{- end }}
{{- end }}

{{/* A value as the environment has it: numbers without an exponent, lists with commas. */}}
{{- define "hookline.settingValue" -}}
{{- if kindIs "slice" . -}}
{{- $words := list -}}
{{- range . }}{{ $words = append $words (include "hookline.settingValue" .) }}{{ end -}}
{{- join "," $words -}}
{{- else if kindIs "float64" . -}}
{{- printf "%.0f" . -}}
{{- else -}}
{{- toString . -}}
{{- end -}}
{{- end }}

{{/* What no schema can say: values that need each other. */}}
{{- define "hookline.check" -}}
{{- if and .Values.tls.clientCa.existingSecret (not .Values.tls.existingSecret) -}}
{{- fail "tls.clientCa asks for clients' certificates, which needs TLS: set tls.existingSecret, too" -}}
{{- end -}}
{{- if and .Values.keys.tokenKeys.existingSecret (not .Values.keys.tokenKeys.keys) -}}
{{- fail "keys.tokenKeys.keys is empty: name the entries of the secret that verify tokens" -}}
{{- end -}}
{{- if and .Values.http.ingress.enabled (not .Values.http.enabled) -}}
{{- fail "http.ingress leads to the HTTP port: set http.enabled, too" -}}
{{- end -}}
{{- if and .Values.http.ingress.enabled (not .Values.http.ingress.host) -}}
{{- fail "http.ingress.host is empty: name the host that the HTTP port is reached by" -}}
{{- end -}}
{{- $grace := divf (.Values.settings.shutdownGraceMs | default 15000) 1000 | ceil | int -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (add $grace 15 | int) -}}
{{- fail (printf "terminationGracePeriodSeconds must be %d or more: settings.shutdownGraceMs and 15 seconds to close" (add $grace 15)) -}}
{{- end -}}
{{- end }}

{{/* Where pods run: the same for the service, the migration and the test. */}}
{{- define "hookline.scheduling" -}}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
