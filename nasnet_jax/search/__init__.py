"""Architecture search: strategies that propose, a trainer that rewards, the loop around them."""
