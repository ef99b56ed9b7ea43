// Questions that are answered and not stored: TokenReview, SubjectAccessReview and their kin, SelfSubjectReview, SelfSubjectRulesReview.
import type { Authenticator } from "./auth/authenticate.ts";
import { type Attributes, type Authorizer, denial } from "./auth/rbac.ts";
import { TokenError } from "./auth/tokens.ts";
import type { User } from "./auth/user.ts";
import type { ApiObject } from "./kinds/resource.ts";
import { badRequest, field, invalid } from "./status.ts";

export interface ReviewDeps {
  authenticator: Authenticator;
  authorizer: Authorizer;
}

/** The review with its status. `namespace`: of a LocalSubjectAccessReview's URL. */
export function answer(review: ApiObject, user: User, namespace: string, { authenticator, authorizer }: ReviewDeps): ApiObject {
  const spec = review["spec"] ?? {};
  switch (review.kind) {
    case "TokenReview":
      return { ...review, status: tokenStatus(spec, authenticator) };
    case "SelfSubjectReview":
      return { ...review, status: { userInfo: userInfo(user) } };
    case "SelfSubjectRulesReview":
      if (!spec.namespace) throw badRequest("no namespace on request");
      return { ...review, status: rulesStatus(user, spec.namespace, authorizer) };
    case "SelfSubjectAccessReview":
      return { ...review, status: accessStatus(review, user, authorizer) };
    case "LocalSubjectAccessReview":
      if (spec.resourceAttributes?.namespace !== namespace)
        throw invalid({ group: "authorization.k8s.io", kind: "LocalSubjectAccessReview" }, "", [
          field.invalid("spec.resourceAttributes.namespace", spec.resourceAttributes?.namespace ?? "", `must match metadata.namespace`),
        ]);
      return { ...review, status: accessStatus(review, subject(review), authorizer) };
    case "SubjectAccessReview":
      return { ...review, status: accessStatus(review, subject(review), authorizer) };
    default:
      throw badRequest(`${review.kind} is no review`);
  }
}

function userInfo({ name, uid, groups, extra }: User): Record<string, unknown> {
  return { username: name, ...(uid ? { uid } : {}), groups, ...(extra && Object.keys(extra).length > 0 ? { extra } : {}) };
}

function tokenStatus(spec: ApiObject["spec"], authenticator: Authenticator): Record<string, unknown> {
  if (!spec.token) throw badRequest("token is required for TokenReview in authentication");
  try {
    const { user, audiences } = authenticator.review(spec.token, spec.audiences);
    return { authenticated: true, user: userInfo(user), audiences };
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    return { user: {}, error: `[invalid bearer token, ${error.message}]` };
  }
}

function subject(review: ApiObject): User {
  const { user = "", uid, groups = [], extra } = review["spec"] ?? {};
  if (user === "" && groups.length === 0)
    throw invalid({ group: "authorization.k8s.io", kind: review.kind as string }, "", [
      field.invalid("spec.user", user, "at least one of user or group must be specified"),
    ]);
  return { name: user, ...(uid ? { uid } : {}), groups, ...(extra ? { extra } : {}) };
}

function accessStatus(review: ApiObject, user: User, authorizer: Authorizer): Record<string, unknown> {
  const { resourceAttributes, nonResourceAttributes } = review["spec"] ?? {};
  if ((resourceAttributes === undefined) === (nonResourceAttributes === undefined)) {
    const why = resourceAttributes
      ? "cannot be specified in combination with resourceAttributes"
      : "exactly one of nonResourceAttributes or resourceAttributes must be specified";
    throw invalid({ group: "authorization.k8s.io", kind: review.kind as string }, "", [
      field.invalid(resourceAttributes ? "spec.nonResourceAttributes" : "spec.resourceAttributes", nonResourceAttributes ?? {}, why),
    ]);
  }
  const { verb = "", group = "", resource = "", subresource = "", namespace = "", name = "" } = resourceAttributes ?? {};
  const attributes: Attributes = nonResourceAttributes
    ? {
        user,
        verb: nonResourceAttributes.verb ?? "",
        group: "",
        resource: "",
        subresource: "",
        namespace: "",
        name: "",
        path: nonResourceAttributes.path ?? "",
      }
    : { user, verb, group, resource, subresource, namespace, name };
  const allowed = authorizer.allows(attributes);
  return allowed ? { allowed, reason: "RBAC: allowed by a role binding" } : { allowed, reason: denial(attributes) };
}

function rulesStatus(user: User, namespace: string, authorizer: Authorizer): Record<string, unknown> {
  const rules = authorizer.rulesFor(user, namespace);
  return {
    resourceRules: rules
      .filter(({ resources }) => resources?.length)
      .map(({ verbs = [], apiGroups, resources, resourceNames }) => ({
        verbs,
        ...(apiGroups ? { apiGroups } : {}),
        ...(resources ? { resources } : {}),
        ...(resourceNames?.length ? { resourceNames } : {}),
      })),
    nonResourceRules: rules
      .filter(({ nonResourceURLs }) => nonResourceURLs?.length)
      .map(({ verbs = [], nonResourceURLs }) => ({ verbs, nonResourceURLs })),
    incomplete: false,
  };
}
