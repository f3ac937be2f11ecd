// Every page of a desk that has a host name of its own: installs its worker, sends what waits.
import { flush, waitingPosts } from "./outbox.js";

const link = document.getElementById("waiting");

async function tell() {
  link.hidden = !(await waitingPosts()).length;
}

addEventListener("flushed", tell);
void flush();
navigator.serviceWorker?.register("/desk/sw.js", { scope: "/desk/" }).catch(() => {});
