{{- define "tachograph.name" -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "tachograph.labels" -}}
app.kubernetes.io/part-of: tachograph
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end -}}

{{- define "tachograph.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "tachograph.ledgerUrl" -}}
- name: TACHOGRAPH_LEDGER_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.ledger.secretName }}
      key: {{ .Values.ledger.secretKey }}
{{- end -}}
