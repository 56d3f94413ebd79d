/** Recognises values that examples use in place of a secret. */

/** In lower case, without separators. */
const WORDS: ReadonlySet<string> = new Set(
  `secret secretkey supersecret supersecretkey topsecret mysecret mysecretkey jwtsecret apikey myapikey token key
  password password1 password123 passwd passw0rd redis redispassword foobar foobared letmein qwerty abc123
  123456 12345678 123456789 1234567890 admin root user guest test testing default example sample demo none null
  undefined string`.split(/\s+/),
);

const PHRASES = [
  // Placeholders of the guides (your_secure_password, your_secure_api_key_here) and of jwt.io (your-256-bit-secret).
  /^(?:your|some|enter|insert)[^a-z0-9].*(?:secret|password|passwd|key|token|here)$/,
  /^(?:your|insert|enter|put|paste).*here$/,
  /change[^a-z0-9]?(?:me|this|it)/,
  /replace[^a-z0-9]?(?:me|this|it|with)/,
  /place[^a-z0-9]?holder/,
  /^to[^a-z0-9]?do\b/,
  /^fix[^a-z0-9]?me/,
  // <secret>, ${SECRET}, {{ secret }}, [secret], %SECRET%
  /^(?:<.*>|\$\{.*\}|\{\{.*\}\}|\[.*\]|%.*%)$/,
];

export function isPlaceholder(value: string): boolean {
  const text = value.trim().toLowerCase();
  const bare = text.replaceAll(/[^a-z0-9]/g, '');
  // A single repeated character: xxxxxxxx, ********, 00000000.
  return WORDS.has(bare) || new Set(text).size <= 1 || PHRASES.some((phrase) => phrase.test(text));
}
