"""Documents that several tests send."""

SIGN_IN = """
mutation ($email: String!, $password: String!) {
  signIn(email: $email, password: $password) { token expiresAt user { id name email role } }
}
"""
ME = "{ me { id name email role createdAt } }"
CREATE = "mutation ($title: String!) { createChat(input: {title: $title}) { chat { id title } } }"
ASK = """
mutation ($chatId: ID!, $content: JSON!, $model: String) {
  sendMessage(input: {chatId: $chatId, content: $content, model: $model}) {
    generationId
    userMessage { id chatId role content done }
    assistantMessage { id role content done generationId model }
  }
}
"""
STOP = "mutation ($id: ID!) { stopGeneration(id: $id) { generationId } }"
CHATS = """
query ($first: Int, $after: String) {
  chats(first: $first, after: $after) { nodes { title } pageInfo { hasNextPage hasPreviousPage endCursor } }
}
"""
CHAT = "query ($id: ID!) { chat(id: $id) { title messages { nodes { id role content } } } }"
HISTORY = """
query ($id: ID!, $last: Int, $before: String) {
  chat(id: $id) {
    messages(last: $last, before: $before) { edges { cursor node { content } } pageInfo { hasPreviousPage hasNextPage startCursor } }
  }
}
"""
FOLLOW = """
subscription ($id: ID!, $after: String) {
  generation(id: $id, after: $after) {
    __typename
    id
    ... on GenerationWaiting { detail }
    ... on GenerationStarted { model attempt continued }
    ... on GenerationSources { sources { number fileId filename knowledgeId pages passage score } }
    ... on GenerationDelta { choice text }
    ... on GenerationChoiceFinished { choice finishReason }
    ... on GenerationFinished { usage { totalTokens } }
    ... on GenerationFailed { code detail }
  }
}
"""
