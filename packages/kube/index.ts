// Kubernetes client: configuration, requests, watches, informers, selectors. See docs/adr/0010-kubernetes-client.md for why it is ours.
export {
  type Fetch,
  KubeClient,
  type ListOptions,
  type ListResult,
  type PatchType,
  type RequestOptions,
  type WatchEvent,
  type WatchOptions,
  type WriteOptions,
} from "./client.ts";
export { KubeconfigError, KubeError } from "./errors.ts";
export { type Change, type Indexers, Informer, type InformerOptions, Store } from "./informer.ts";
export { type ClusterConfig, type ClusterTls, loadConfig, loadInCluster, loadKubeconfig, parseKubeconfig } from "./kubeconfig.ts";
export { isDnsLabel, isDnsSubdomain, isEmptySelector, isLabelKey, isLabelValue, matchesSelector, selectorMistakes } from "./selector.ts";
export * from "./types.ts";
