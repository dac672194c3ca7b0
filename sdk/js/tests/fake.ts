/** The small gateway as a program: writes its port into the file that it is given. */
import { writeFileSync } from "node:fs";
import { gateway } from "./gateway.js";

const g = await gateway();
writeFileSync(process.argv[2], `${g.port}`);
