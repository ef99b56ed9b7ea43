// The Kubernetes release whose API this server speaks.

/** As `/version` reports it and the schemas in openapi/ were published. */
export const kubernetesVersion = "v1.34.4";
