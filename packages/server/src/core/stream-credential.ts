/**
 * What an open stream keeps of the credential that it was opened with: enough to end the stream when the credential
 * expires or is revoked, and to know who may carry it on. Plain data, so that it can be sent to other nodes.
 */
export interface StreamCredential {
  /** Name for the log. It is no secret. */
  readonly name: string;
  readonly userId: string | undefined;
  /** The id by which it can be revoked; `undefined` when it cannot. */
  readonly tokenId: string | undefined;
  /** Ids of the credentials that it was made from. Revoking one of these revokes it too. */
  readonly parentTokenIds: readonly string[];
  /** Milliseconds since 1970; -Infinity when it is unknown. */
  readonly issuedAtMs: number;
  /** `undefined` when it does not expire. */
  readonly expiresAtMs: number | undefined;
}

/** The same as JSON, which has neither -Infinity nor undefined. */
export type StreamCredentialJson = Omit<StreamCredential, 'issuedAtMs' | 'expiresAtMs'> & {
  readonly issuedAtMs: number | null;
  readonly expiresAtMs: number | null;
};

export function credentialToJson(credential: StreamCredential): StreamCredentialJson {
  const { issuedAtMs, expiresAtMs = null } = credential;
  return { ...credential, issuedAtMs: Number.isFinite(issuedAtMs) ? issuedAtMs : null, expiresAtMs };
}

export function credentialFromJson(json: StreamCredentialJson): StreamCredential {
  const { name, userId, tokenId, parentTokenIds } = json;
  return {
    name,
    userId,
    tokenId,
    parentTokenIds,
    issuedAtMs: json.issuedAtMs ?? Number.NEGATIVE_INFINITY,
    expiresAtMs: json.expiresAtMs ?? undefined,
  };
}
