"""What the site tells other pages: changed posts, their links, the outbox, one delivery."""
