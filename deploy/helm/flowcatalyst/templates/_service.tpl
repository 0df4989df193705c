{{/*
One service of FlowCatalyst: its Deployment, disruption budget and Service.

  root       the chart's context
  component  platform, stream, scheduler, router or outbox: the command and the key of its values
  variables  names of variables and the keys of secretKeys that hold them
  settings   further variables with their values
  ports      names and numbers of ports beside the metrics port
*/}}
{{- define "flowcatalyst.service" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .component -}}
{{- $name := printf "%s-%s" (include "flowcatalyst.fullname" $root) .component -}}
{{- $autoscaled := and (hasKey $values "autoscaling") (dig "autoscaling" "enabled" false $values) -}}
{{- $settings := mergeOverwrite (dict "FC_HOST" "0.0.0.0" "FC_LOG_FORMAT" "json") (deepCopy $root.Values.config) (.settings | default dict) (deepCopy $values.env) -}}
{{- $grace := add 15 ($root.Values.router.drainTimeoutSeconds | int) -}}
{{- $scope := dict "root" $root "component" .component -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $name }}
  labels:
    {{- include "flowcatalyst.labels" $scope | nindent 4 }}
spec:
  {{- if not $autoscaled }}
  replicas: {{ $values.replicas }}
  {{- end }}
  revisionHistoryLimit: 5
  selector:
    matchLabels:
      {{- include "flowcatalyst.selector" $scope | nindent 6 }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  template:
    metadata:
      labels:
        {{- include "flowcatalyst.labels" $scope | nindent 8 }}
      annotations:
        {{- /* Pods are made anew when the values of the chart's own Secret change. */}}
        checksum/secrets: {{ $root.Values.secrets | toJson | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ $root.Values.serviceAccount.name }}
      automountServiceAccountToken: false
      # Links of other services would be taken for settings: a Service "fc-api" makes FC_API_PORT=tcp://...
      enableServiceLinks: false
      # Longer than a stop can take: calls under way, and 10 s for what does not end by itself.
      terminationGracePeriodSeconds: {{ $grace }}
      securityContext:
        {{- include "flowcatalyst.podSecurityContext" $root | nindent 8 }}
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "flowcatalyst.image" $root }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [{{ .component }}]
          env:
            {{- range $variable, $key := .variables }}
            {{- include "flowcatalyst.secretVariable" (dict "root" $root "name" $variable "key" $key) | nindent 12 }}
            {{- end }}
            {{- range $variable, $value := $settings }}
            - name: {{ $variable }}
              value: {{ $value | quote }}
            {{- end }}
          ports:
            - name: metrics
              containerPort: 9090
            {{- range $port, $number := .ports }}
            - name: {{ $port }}
              containerPort: {{ $number }}
            {{- end }}
          # Up to two minutes to start, then 30 s without an answer before it is started anew.
          startupProbe:
            httpGet: { path: /q/live, port: metrics }
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 60
          livenessProbe:
            httpGet: { path: /q/live, port: metrics }
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          readinessProbe:
            httpGet: { path: /q/ready, port: metrics }
            periodSeconds: 5
            timeoutSeconds: 5
            failureThreshold: 2
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- include "flowcatalyst.containerSecurityContext" $root | nindent 12 }}
          {{- with $root.Values.extraVolumeMounts }}
          volumeMounts:
            {{- toYaml . | nindent 12 }}
          {{- end }}
      {{- with $root.Values.extraVolumes }}
      volumes:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- if $root.Values.topologySpread.enabled }}
      topologySpreadConstraints:
        {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ $key }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "flowcatalyst.selector" $scope | nindent 14 }}
        {{- end }}
      {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels:
    {{- include "flowcatalyst.labels" $scope | nindent 4 }}
  {{- with dig "service" "annotations" dict $values }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  type: {{ dig "service" "type" "ClusterIP" $values }}
  selector:
    {{- include "flowcatalyst.selector" $scope | nindent 4 }}
  ports:
    {{- range $port, $number := .ports }}
    - name: {{ $port }}
      port: {{ dig "service" "port" $number $values }}
      targetPort: {{ $port }}
    {{- end }}
    - name: metrics
      port: 9090
      targetPort: metrics
{{- if $root.Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ $name }}
  labels:
    {{- include "flowcatalyst.labels" $scope | nindent 4 }}
spec:
  maxUnavailable: {{ $root.Values.podDisruptionBudget.maxUnavailable }}
  selector:
    matchLabels:
      {{- include "flowcatalyst.selector" $scope | nindent 6 }}
{{- end }}
{{- if $autoscaled }}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $name }}
  labels:
    {{- include "flowcatalyst.labels" $scope | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $name }}
  minReplicas: {{ $values.autoscaling.minReplicas }}
  maxReplicas: {{ $values.autoscaling.maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target:
          type: Utilization
          averageUtilization: {{ $values.autoscaling.targetCPUUtilizationPercentage }}
{{- end }}
{{- end }}
