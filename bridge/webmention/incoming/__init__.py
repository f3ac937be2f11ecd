"""What other pages say of the site: received, verified, decided about, kept."""
