// A collector as a process: `bun collector-main.ts PORT` says "listening", and each span as a line of JSON.
import { Collector } from "./collector.ts";

const collector = new Collector();
await collector.listen(Number(process.argv[2]));
console.log("listening");
let said = 0;
for (;;) {
  await collector.until(() => collector.spans.length > said);
  for (; said < collector.spans.length; said++) {
    const { name, kind, traceId, attributes } = collector.spans[said] as (typeof collector.spans)[number];
    const direction = attributes.attributeMap["direction"]?.stringValue.value;
    console.log(JSON.stringify({ name: name.value, kind, traceId: traceId.toString("hex"), direction }));
  }
}
