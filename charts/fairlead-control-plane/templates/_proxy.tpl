{{/*
The proxy's container (spec control-plane §6.5): one source for the control plane's own pods, for the injector and for
"inject --manual". Values the injector sets beside those of values.yaml, all below .Values.proxy: component, disableIdentity,
isGateway, isIngress, defaultInboundPolicy, podInboundPorts, capabilities, saMountPath, tokenMountPath, requireTLSOnInboundPorts,
loadTrustBundleFromConfigMap.
*/}}
{{- define "fairlead.proxy" -}}
{{- $proxy := .Values.proxy -}}
{{- $ns := .Values.namespace -}}
{{- $trustDomain := include "fairlead.trust-domain" . -}}
{{- with $proxy.args }}
args:
{{ toYaml . }}
{{- end }}
env:
- name: _pod_name
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: _pod_ns
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: _pod_nodeName
  valueFrom:
    fieldRef:
      fieldPath: spec.nodeName
{{- if $proxy.cores }}
- name: LINKERD2_PROXY_CORES
  value: {{ $proxy.cores | quote }}
{{- end }}
{{- if $proxy.requireIdentityOnInboundPorts }}
- name: LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_IDENTITY
  value: {{ $proxy.requireIdentityOnInboundPorts | quote }}
{{- end }}
{{- if $proxy.requireTLSOnInboundPorts }}
- name: LINKERD2_PROXY_INBOUND_PORTS_REQUIRE_TLS
  value: {{ $proxy.requireTLSOnInboundPorts | quote }}
{{- end }}
- name: LINKERD2_PROXY_LOG
  value: {{ $proxy.logLevel | quote }}
- name: LINKERD2_PROXY_LOG_FORMAT
  value: {{ $proxy.logFormat | quote }}
- name: LINKERD2_PROXY_DESTINATION_SVC_ADDR
  value: {{ (ternary "localhost.:8086" (printf "linkerd-dst-headless.%s.svc.%s.:8086" $ns .Values.clusterDomain) (eq ($proxy.component | default "") "linkerd-destination")) | quote }}
- name: LINKERD2_PROXY_DESTINATION_PROFILE_NETWORKS
  value: {{ .Values.clusterNetworks | quote }}
- name: LINKERD2_PROXY_POLICY_SVC_ADDR
  value: {{ (ternary "localhost.:8090" (printf "linkerd-policy.%s.svc.%s.:8090" $ns .Values.clusterDomain) (eq ($proxy.component | default "") "linkerd-destination")) | quote }}
- name: LINKERD2_PROXY_POLICY_WORKLOAD
  value: "$(_pod_ns):$(_pod_name)"
- name: LINKERD2_PROXY_INBOUND_DEFAULT_POLICY
  value: {{ $proxy.defaultInboundPolicy | default .Values.policyController.defaultAllowPolicy | quote }}
- name: LINKERD2_PROXY_POLICY_CLUSTER_NETWORKS
  value: {{ .Values.clusterNetworks | quote }}
{{- if $proxy.inboundConnectTimeout }}
- name: LINKERD2_PROXY_INBOUND_CONNECT_TIMEOUT
  value: {{ $proxy.inboundConnectTimeout | quote }}
{{- end }}
{{- if $proxy.outboundConnectTimeout }}
- name: LINKERD2_PROXY_OUTBOUND_CONNECT_TIMEOUT
  value: {{ $proxy.outboundConnectTimeout | quote }}
{{- end }}
- name: LINKERD2_PROXY_CONTROL_LISTEN_ADDR
  value: "0.0.0.0:{{ $proxy.ports.control | int }}"
- name: LINKERD2_PROXY_ADMIN_LISTEN_ADDR
  value: "0.0.0.0:{{ $proxy.ports.admin | int }}"
- name: LINKERD2_PROXY_OUTBOUND_LISTEN_ADDR
  value: "127.0.0.1:{{ $proxy.ports.outbound | int }}"
- name: LINKERD2_PROXY_INBOUND_LISTEN_ADDR
  value: "0.0.0.0:{{ $proxy.ports.inbound | int }}"
- name: LINKERD2_PROXY_INBOUND_IPS
  valueFrom:
    fieldRef:
      fieldPath: status.podIPs
{{- if $proxy.podInboundPorts }}
- name: LINKERD2_PROXY_INBOUND_PORTS
  value: {{ $proxy.podInboundPorts | quote }}
{{- end }}
{{- if $proxy.isGateway }}
- name: LINKERD2_PROXY_INBOUND_GATEWAY_SUFFIXES
  value: {{ (printf "svc.%s." .Values.clusterDomain) | quote }}
{{- end }}
{{- if $proxy.isIngress }}
- name: LINKERD2_PROXY_INGRESS_MODE
  value: "true"
{{- end }}
- name: LINKERD2_PROXY_DESTINATION_PROFILE_SUFFIXES
  value: {{ (ternary "." (printf "svc.%s." .Values.clusterDomain) ($proxy.enableExternalProfiles | default false)) | quote }}
- name: LINKERD2_PROXY_INBOUND_ACCEPT_KEEPALIVE
  value: 10000ms
- name: LINKERD2_PROXY_OUTBOUND_CONNECT_KEEPALIVE
  value: 10000ms
{{- if $proxy.opaquePorts }}
- name: LINKERD2_PROXY_INBOUND_PORTS_DISABLE_PROTOCOL_DETECTION
  value: {{ $proxy.opaquePorts | quote }}
{{- end }}
- name: LINKERD2_PROXY_DESTINATION_CONTEXT
  value: |
    {"ns":"$(_pod_ns)", "nodeName":"$(_pod_nodeName)"}
{{- if $proxy.disableIdentity }}
- name: LINKERD2_PROXY_IDENTITY_DISABLED
  value: disabled
{{- else }}
- name: _pod_sa
  valueFrom:
    fieldRef:
      fieldPath: spec.serviceAccountName
- name: _l5d_ns
  value: {{ $ns | quote }}
- name: _l5d_trustdomain
  value: {{ $trustDomain | quote }}
- name: LINKERD2_PROXY_IDENTITY_DIR
  value: "/var/run/linkerd/identity/end-entity"
- name: LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS
{{- if $proxy.loadTrustBundleFromConfigMap }}
  valueFrom:
    configMapKeyRef:
      name: linkerd-identity-trust-roots
      key: ca-bundle.crt
{{- else }}
  value: |
{{ required "Please provide the identity trust anchors" .Values.identityTrustAnchorsPEM | trim | indent 4 }}
{{- end }}
- name: LINKERD2_PROXY_IDENTITY_TOKEN_FILE
  value: {{ (ternary "/var/run/secrets/tokens/linkerd-identity-token" "/var/run/secrets/kubernetes.io/serviceaccount/token" (.Values.identity.serviceAccountTokenProjection | default false)) | quote }}
- name: LINKERD2_PROXY_IDENTITY_SVC_ADDR
  value: {{ (ternary "localhost.:8080" (printf "linkerd-identity-headless.%s.svc.%s.:8080" $ns .Values.clusterDomain) (eq ($proxy.component | default "") "linkerd-identity")) | quote }}
- name: LINKERD2_PROXY_IDENTITY_LOCAL_NAME
  value: "$(_pod_sa).$(_pod_ns).serviceaccount.identity.{{ $ns }}.{{ $trustDomain }}"
- name: LINKERD2_PROXY_IDENTITY_SVC_NAME
  value: "linkerd-identity.{{ $ns }}.serviceaccount.identity.{{ $ns }}.{{ $trustDomain }}"
- name: LINKERD2_PROXY_DESTINATION_SVC_NAME
  value: "linkerd-destination.{{ $ns }}.serviceaccount.identity.{{ $ns }}.{{ $trustDomain }}"
- name: LINKERD2_PROXY_POLICY_SVC_NAME
  value: "linkerd-destination.{{ $ns }}.serviceaccount.identity.{{ $ns }}.{{ $trustDomain }}"
{{- end }}
image: {{ $proxy.image.name }}:{{ $proxy.image.version | default .Values.linkerdVersion }}
imagePullPolicy: {{ $proxy.image.pullPolicy | default .Values.imagePullPolicy }}
livenessProbe:
  httpGet:
    path: /live
    port: {{ $proxy.ports.admin | int }}
  initialDelaySeconds: 10
name: linkerd-proxy
ports:
- containerPort: {{ $proxy.ports.inbound | int }}
  name: linkerd-proxy
- containerPort: {{ $proxy.ports.admin | int }}
  name: linkerd-admin
readinessProbe:
  httpGet:
    path: /ready
    port: {{ $proxy.ports.admin | int }}
  initialDelaySeconds: 2
  {{- /* With the default of ten seconds a pod whose proxy was certified after two waits for twelve. */}}
  periodSeconds: 2
{{- if and $proxy.nativeSidecar $proxy.await }}
startupProbe:
  httpGet:
    path: /ready
    port: {{ $proxy.ports.admin | int }}
  failureThreshold: 120
  periodSeconds: 1
{{- end }}
{{- if $proxy.nativeSidecar }}
restartPolicy: Always
{{- end }}
{{- include "fairlead.resources" ($proxy.resources | default dict) }}
securityContext:
  allowPrivilegeEscalation: false
  {{- with $proxy.capabilities }}
  capabilities:
{{ toYaml . | indent 4 }}
  {{- end }}
  readOnlyRootFilesystem: true
  runAsUser: {{ $proxy.uid | int }}
terminationMessagePolicy: FallbackToLogsOnError
{{- $await := and $proxy.await (not $proxy.nativeSidecar) }}
{{- if or $await $proxy.waitBeforeExitSeconds }}
lifecycle:
  {{- if $await }}
  postStart:
    exec:
      command:
{{ toYaml $proxy.awaitCommand | indent 6 }}
      - --port={{ $proxy.ports.admin | int }}
  {{- end }}
  {{- if $proxy.waitBeforeExitSeconds }}
  preStop:
    exec:
      command:
      - /bin/sleep
      - {{ $proxy.waitBeforeExitSeconds | int | quote }}
  {{- end }}
{{- end }}
{{- $projection := and (.Values.identity.serviceAccountTokenProjection | default false) (not $proxy.disableIdentity) }}
{{- if or (not $proxy.disableIdentity) $proxy.saMountPath }}
volumeMounts:
{{- if not $proxy.disableIdentity }}
- mountPath: /var/run/linkerd/identity/end-entity
  name: linkerd-identity-end-entity
{{- end }}
{{- if $projection }}
- mountPath: /var/run/secrets/tokens
  name: linkerd-identity-token
{{- end }}
{{- with $proxy.saMountPath }}
- mountPath: {{ .mountPath }}
  name: {{ .name }}
  {{- if .readOnly }}
  readOnly: true
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
