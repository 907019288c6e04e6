"""Who is where: person boxes, and boxes joined to tracks."""
