{{/* The init container that writes the redirect rules (spec control-plane §6.5). */}}
{{- define "fairlead.proxy-init" -}}
{{- $init := .Values.proxyInit -}}
{{- $proxy := .Values.proxy -}}
{{- $root := or $init.runAsRoot $init.closeWaitTimeoutSecs -}}
args:
{{- with $init.args }}
{{ toYaml . }}
{{- end }}
- --incoming-proxy-port
- {{ $proxy.ports.inbound | int | quote }}
- --outgoing-proxy-port
- {{ $proxy.ports.outbound | int | quote }}
- --proxy-uid
- {{ $proxy.uid | int | quote }}
- --inbound-ports-to-ignore
- "{{ $proxy.ports.control | int }},{{ $proxy.ports.admin | int }}{{ with $init.ignoreInboundPorts }},{{ . }}{{ end }}"
{{- with $init.ignoreOutboundPorts }}
- --outbound-ports-to-ignore
- {{ . | quote }}
{{- end }}
{{- if $init.closeWaitTimeoutSecs }}
- --timeout-close-wait-secs
- {{ $init.closeWaitTimeoutSecs | int | quote }}
{{- end }}
{{- with $init.logFormat }}
- --log-format
- {{ . }}
{{- end }}
{{- with $init.logLevel }}
- --log-level
- {{ . }}
{{- end }}
{{- with $init.skipSubnets }}
- --subnets-to-ignore
- {{ . | quote }}
{{- end }}
image: {{ $init.image.name }}:{{ $init.image.version | default .Values.linkerdVersion }}
imagePullPolicy: {{ $init.image.pullPolicy | default .Values.imagePullPolicy }}
name: linkerd-init
{{- include "fairlead.resources" ($init.resources | default dict) }}
securityContext:
  allowPrivilegeEscalation: {{ ternary true false (not (empty $root)) }}
  capabilities:
    add:
    - NET_ADMIN
    - NET_RAW
    {{- with $proxy.capabilities }}
    {{- range .add }}
    {{- if not (has . (list "NET_ADMIN" "NET_RAW")) }}
    - {{ . }}
    {{- end }}
    {{- end }}
    {{- $drop := without (.drop | default list) "NET_RAW" "NET_ADMIN" }}
    {{- if $drop }}
    drop:
{{ toYaml $drop | indent 4 }}
    {{- end }}
    {{- end }}
  privileged: {{ ternary true false (not (empty $init.closeWaitTimeoutSecs)) }}
  readOnlyRootFilesystem: true
  {{- if $root }}
  runAsNonRoot: false
  runAsUser: 0
  {{- else }}
  runAsNonRoot: true
  runAsUser: 65534
  {{- end }}
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
- mountPath: {{ $init.xtMountPath.mountPath }}
  name: {{ $init.xtMountPath.name }}
{{- with $proxy.saMountPath }}
- mountPath: {{ .mountPath }}
  name: {{ .name }}
  {{- if .readOnly }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end -}}

{{- define "fairlead.debug" -}}
image: {{ .Values.debugContainer.image.name }}:{{ .Values.debugContainer.image.version | default .Values.linkerdVersion }}
imagePullPolicy: {{ .Values.debugContainer.image.pullPolicy | default .Values.imagePullPolicy }}
name: linkerd-debug
terminationMessagePolicy: FallbackToLogsOnError
{{- end -}}

{{/* The volumes of the containers above. */}}
{{- define "fairlead.volume.xtables" -}}
emptyDir: {}
name: {{ .Values.proxyInit.xtMountPath.name }}
{{- end -}}

{{- define "fairlead.volume.end-entity" -}}
emptyDir:
  medium: Memory
name: linkerd-identity-end-entity
{{- end -}}

{{- define "fairlead.volume.identity-token" -}}
name: linkerd-identity-token
projected:
  sources:
  - serviceAccountToken:
      audience: identity.l5d.io
      expirationSeconds: 86400
      path: linkerd-identity-token
{{- end -}}
