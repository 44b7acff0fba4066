//! The shapes that others see: OpenAI, Open Inference Protocol, problem details.
