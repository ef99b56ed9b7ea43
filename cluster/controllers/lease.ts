// The lease by which the controllers show that they are at work.

/** In kube-system, named as in Kubernetes. */
export const leaseName = "kube-controller-manager";
export const leaseSeconds = 15;
export const leaseRenewMs = 5_000;
