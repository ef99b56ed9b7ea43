// Who asks.

export interface User {
  name: string;
  uid?: string;
  groups: string[];
  extra?: Record<string, string[]>;
}

export const anonymous: User = { name: "system:anonymous", groups: ["system:unauthenticated"] };
export const authenticatedGroup = "system:authenticated";
export const mastersGroup = "system:masters";

/** The server itself, when it changes objects on its own account. */
export const systemUser: User = { name: "system:apiserver", groups: [mastersGroup, authenticatedGroup] };

export const serviceAccountName = (namespace: string, name: string) => `system:serviceaccount:${namespace}:${name}`;
