// Asks the API server whose token it is.
import { type AnyObject, type KubeClient, Resources } from "#kube";
import type { TokenVerdict } from "./service.ts";

/** Audience of tokens made for the mesh alone. */
export const identityAudience = "identity.l5d.io";

/** The audience to ask for: a token made for the mesh names it; an ordinary one is reviewed for the API server. The claim is only read here, the API server verifies. */
export function audiencesOf(token: string): string[] {
  try {
    const { aud } = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()) as { aud?: string | string[] };
    return [aud ?? []].flat().includes(identityAudience) ? [identityAudience] : [];
  } catch {
    return [];
  }
}

type TokenReview = AnyObject & { status?: { authenticated?: boolean; error?: string; user?: { username?: string } } };

export async function reviewToken(client: KubeClient, token: string): Promise<TokenVerdict> {
  const audiences = audiencesOf(token);
  const review = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    spec: { token, ...(audiences.length > 0 ? { audiences } : {}) },
  };
  const { status = {} } = await client.create<TokenReview>(Resources.tokenReviews, review);
  if (status.error && !status.authenticated) return { authenticated: false, username: "", reason: status.error };
  return { authenticated: status.authenticated === true, username: status.user?.username ?? "", reason: status.error ?? "" };
}
