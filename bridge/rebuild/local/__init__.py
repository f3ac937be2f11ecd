"""Pages built on this machine: the checkout, Pelican's log, the output folder, what follows."""
