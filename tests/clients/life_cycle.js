// What micropub-helper does in the life of a post. Reads {"me", "token"} from standard input, prints
// what each step gave.
import { readFileSync } from "node:fs";

import { Micropub } from "micropub-helper";

const { me, token, picture } = JSON.parse(readFileSync(0, "utf8"));
const client = new Micropub({
  me,
  token,
  clientId: "https://app.example/",
  redirectUri: "https://app.example/callback",
  state: "a state",
  scope: "create update delete",
});
const found = {};

found.endpoints = await client.getEndpointsFromUrl(me);
found.authUrl = await client.getAuthUrl();
found.verified = await client.verifyToken();
found.config = await client.query("config");
client.options = { mediaEndpoint: found.config["media-endpoint"] };

const file = new File([Buffer.from(picture, "base64")], "sun set é.png", { type: "image/png" });
found.photo = await client.postMedia(file);

found.url = await client.create({
  type: ["h-entry"],
  properties: {
    name: ["A title"],
    content: [{ html: "<p>Hi</p>", value: "Hi" }],
    category: ["a", "b"],
    photo: [{ value: found.photo, alt: "A sunset" }],
  },
});
found.created = await client.querySource(found.url);
found.form = await client.create({ h: "entry", content: "é & + \r\nline 2", category: ["a", "b"] }, "form");
found.multipart = await client.create({ h: "entry", content: "with a file", photo: file }, "multipart");
found.multipartSource = await client.querySource(found.multipart);
found.formSource = await client.querySource(found.form, ["content", "category"]);

await client.update(found.url, {
  replace: { content: ["new"] },
  add: { category: ["c"] },
  delete: { category: ["a"] },
});
await client.update(found.url, { delete: ["name"] });
found.updated = await client.querySource(found.url);

await client.delete(found.url);
found.gone = await client.querySource(found.url).catch((error) => error.status);
await client.undelete(found.url);
found.restored = await client.querySource(found.url);
found.list = await client.querySource({ limit: 2, "post-type": "note" });

console.log(JSON.stringify(found));
