{{/* Settings that would give a control plane which cannot work are refused here, each by its name. */}}
{{- define "fairlead.validate" -}}
{{- if .Values.proxy.disableIdentity -}}
{{- fail (printf "proxy.disableIdentity: can't be true for the component %s of the control plane" .Values.proxy.component) -}}
{{- end -}}
{{- end -}}
