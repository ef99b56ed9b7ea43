{{/* Names, labels and small blocks that the templates share. */}}

{{- define "fairlead.created-by" -}}
linkerd.io/created-by: {{ .Values.cliVersion | default (printf "linkerd/helm %s" (.Values.controllerImageVersion | default .Values.linkerdVersion)) }}
{{- end -}}

{{- define "fairlead.version" -}}
{{ .Values.controllerImageVersion | default .Values.linkerdVersion }}
{{- end -}}

{{- define "fairlead.controller-image" -}}
{{ .Values.controllerImage }}:{{ .Values.controllerImageVersion | default .Values.linkerdVersion }}
{{- end -}}

{{- define "fairlead.trust-domain" -}}
{{ .Values.identityTrustDomain | default .Values.clusterDomain }}
{{- end -}}

{{- define "fairlead.pull-secrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "fairlead.node-selector" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
{{ toYaml . | indent 2 }}
{{- end }}
{{- end -}}

{{- define "fairlead.tolerations" -}}
{{- with .Values.tolerations }}
tolerations:
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of a mapping {cpu: {limit, request}, memory: {limit, request}}; nothing when all are empty. */}}
{{- define "fairlead.resources" -}}
{{- $cpu := .cpu | default dict -}}
{{- $memory := .memory | default dict -}}
{{- if or $cpu.limit $cpu.request $memory.limit $memory.request }}
resources:
  {{- if or $cpu.limit $memory.limit }}
  limits:
    {{- with $cpu.limit }}
    cpu: {{ . | quote }}
    {{- end }}
    {{- with $memory.limit }}
    memory: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- if or $cpu.request $memory.request }}
  requests:
    {{- with $cpu.request }}
    cpu: {{ . | quote }}
    {{- end }}
    {{- with $memory.request }}
    memory: {{ . | quote }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Of {component: ...}: spreads the replicas over nodes, and over zones where possible. */}}
{{- define "fairlead.affinity" -}}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
    - podAffinityTerm:
        labelSelector:
          matchExpressions:
          - key: linkerd.io/control-plane-component
            operator: In
            values:
            - {{ .component }}
        topologyKey: topology.kubernetes.io/zone
      weight: 100
    requiredDuringSchedulingIgnoredDuringExecution:
    - labelSelector:
        matchExpressions:
        - key: linkerd.io/control-plane-component
          operator: In
          values:
          - {{ .component }}
      topologyKey: kubernetes.io/hostname
{{- end -}}

{{/* Annotations of the control plane's own pods. */}}
{{- define "fairlead.pod-annotations" -}}
{{ include "fairlead.created-by" . }}
linkerd.io/identity-mode: default
linkerd.io/proxy-version: {{ .Values.proxy.image.version | default .Values.linkerdVersion }}
config.linkerd.io/default-inbound-policy: "all-unauthenticated"
{{- with .Values.podAnnotations }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of {root, component, deployment}: labels of the control plane's own pods. */}}
{{- define "fairlead.pod-labels" -}}
linkerd.io/control-plane-component: {{ .component }}
linkerd.io/control-plane-ns: {{ .root.Values.namespace }}
linkerd.io/workload-ns: {{ .root.Values.namespace }}
linkerd.io/proxy-deployment: {{ .deployment }}
{{- with .root.Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of {root, name, component}: labels of a deployment. */}}
{{- define "fairlead.deployment-labels" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/part-of: Linkerd
app.kubernetes.io/version: {{ include "fairlead.version" .root }}
linkerd.io/control-plane-component: {{ .component }}
linkerd.io/control-plane-ns: {{ .root.Values.namespace }}
{{- end -}}

{{/* Of {root, component, port}: a container's probes on its admin port. */}}
{{- define "fairlead.controller-probes" -}}
livenessProbe:
  httpGet:
    path: /ping
    port: {{ .port }}
  initialDelaySeconds: 10
readinessProbe:
  failureThreshold: 7
  httpGet:
    path: /ready
    port: {{ .port }}
  periodSeconds: 2
{{- end -}}

{{- define "fairlead.controller-security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsUser: {{ .Values.controllerUID | int }}
{{- end -}}

{{/* Of {root, component, service, tls: {Cert, Key}}: the secret of a webhook's server. */}}
{{- define "fairlead.webhook-secret" -}}
kind: Secret
apiVersion: v1
metadata:
  name: {{ .service }}-k8s-tls
  namespace: {{ .root.Values.namespace }}
  labels:
    linkerd.io/control-plane-component: {{ .component }}
    linkerd.io/control-plane-ns: {{ .root.Values.namespace }}
  annotations:
    {{ include "fairlead.created-by" .root }}
type: kubernetes.io/tls
data:
  tls.crt: {{ .tls.Cert | trim | b64enc }}
  tls.key: {{ .tls.Key | trim | b64enc }}
{{- end -}}

{{/* Of {root, service, path, config, ca}: where the API server finds a webhook, and for what namespaces it asks it. */}}
{{- define "fairlead.webhook-client" -}}
{{- with .config.namespaceSelector -}}
namespaceSelector:
{{ toYaml . | indent 2 }}
{{ end -}}
clientConfig:
  service:
    name: {{ .service }}
    namespace: {{ .root.Values.namespace }}
    path: "/"
  caBundle: {{ .ca | trim | b64enc }}
failurePolicy: {{ .root.Values.webhookFailurePolicy }}
admissionReviewVersions: ["v1", "v1beta1"]
{{- end -}}

{{/* The policy container's resources: its own, else those of the destination container. */}}
{{- define "fairlead.policy-resources" -}}
{{- $own := .Values.policyController.resources | default dict -}}
{{- $cpu := $own.cpu | default dict -}}
{{- $memory := $own.memory | default dict -}}
{{- if or $cpu.limit $cpu.request $memory.limit $memory.request -}}
{{ toYaml $own }}
{{- else -}}
{{ toYaml (.Values.destinationResources | default dict) }}
{{- end -}}
{{- end -}}
